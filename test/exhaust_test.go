//go:build linux

package test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

const exhaustModule = `
[allow]
users = ["uid:0", "uid:2"]
[action.stay]
command = ["/bin/sleep", "1000"]
grace = "0s"
[action.quick]
command = ["/bin/echo", "ok"]
`

// spent is the processor time of a process, of all its threads.
func spent(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	ticks := 0
	for _, field := range fields[11:13] { // utime and stime, proc_pid_stat(5)
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}

// parts are the processes of a deputy.
func parts(d *rig.Deputy) map[string]int {
	return map[string]int{"keeper": d.Cmd.Process.Pid, "monitor": d.Part("--role monitor"), "server": d.Part("deputy-server")}
}

// rests sees that no part is busy while nothing is asked of it.
func rests(t *testing.T, d *rig.Deputy) {
	t.Helper()
	const watched = 3 * time.Second
	before := map[string]time.Duration{}
	for name, pid := range parts(d) {
		before[name] = spent(t, pid)
	}
	time.Sleep(watched)
	for name, pid := range parts(d) {
		used := spent(t, pid) - before[name]
		t.Logf("%s: %v of processor time in %v", name, used, watched)
		if used > watched/10 {
			t.Errorf("the %s is busy: %v of processor time in %v", name, used, watched)
		}
	}
}

func descriptors(t *testing.T, d *rig.Deputy) map[string]int {
	t.Helper()
	count := map[string]int{}
	for name, pid := range parts(d) {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		count[name] = len(entries)
	}
	return count
}

// leaksNone sees that the parts have as many descriptors as before, again.
func leaksNone(t *testing.T, d *rig.Deputy, before map[string]int) {
	t.Helper()
	const slack = 8 // idle connections to the database, a file that is just being read
	rig.Eventually(t, 30*time.Second, "descriptors are given back", func() bool {
		for name, n := range descriptors(t, d) {
			if n > before[name]+slack {
				return false
			}
		}
		return true
	})
}

// Many users together hold all connections that 512 descriptors allow. Who comes
// then is told so, an operator gets in and is served, nothing spins; and all
// is well when they go.
func TestManyUsersLeaveRoomForAnOperator(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, exhaustModule, nil)
	d.Wrapper = []string{"prlimit", "--nofile=512:512"}
	d.Start()
	operator := d.Self()
	operator.Ended(operator.Started("m/quick", "").ID)
	operator.Close()
	before := descriptors(t, d)

	const users = 1000
	var crowd []net.Conn
	defer func() {
		for _, conn := range crowd {
			conn.Close()
		}
	}()
	for i := range users {
		conn, err := rig.DialAs(d.Socket, 100_000+i)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, conn)
	}
	// The first of them are served, the next are told, the last find a closed door.
	fmt.Fprint(crowd[0], "GET /v1/actions HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer := readSome(t, crowd[0]); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Errorf("the first of the crowd: %s", answer)
	}
	told, closed := 0, 0
	for _, conn := range crowd[1:] {
		fmt.Fprint(conn, "GET /v1/actions HTTP/1.1\r\nHost: x\r\n\r\n")
		switch answer := readSome(t, conn); {
		case strings.HasPrefix(answer, "HTTP/1.1 200 "):
		case answer == "":
			closed++
		case strings.HasPrefix(answer, "HTTP/1.1 503 ") && strings.Contains(answer, "Retry-After: ") && strings.Contains(answer, "LimitNOFILE"):
			told++
		default:
			t.Fatalf("one of the crowd: %s", answer)
		}
	}
	served := users - 1 - told - closed
	t.Logf("of %d users %d were served, %d told that there is no room, %d closed", users, served, told, closed)
	if served < 64 || told < 8 || closed == 0 {
		t.Errorf("of %d users %d were served, %d told, %d closed", users, served, told, closed)
	}

	for range 5 {
		operator.Close()
		task := operator.Started("m/stay", "")
		running(t, operator, task.ID)
		if task = operator.Stop(task.ID, ""); task.State != deputy.Stopped {
			t.Errorf("an operator's stop: %s, %s", task.State, reason(task))
		}
		none(t, task)
	}
	rests(t, d)
	for _, conn := range crowd {
		conn.Close()
	}
	two := d.As(2)
	rig.Eventually(t, 30*time.Second, "others are served again", func() bool {
		answer, err := two.Try("POST", "/v1/actions/m/quick", "")
		return err == nil && answer.Status == 202
	})
	two.Close()
	operator.Close()
	leaksNone(t, d, before)
}

// readSome reads what a connection answers at once; "" if it was closed.
func readSome(t *testing.T, conn net.Conn) string {
	t.Helper()
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
		t.Fatal("a connection is neither answered nor closed")
	}
	return string(buf[:n])
}

// More tasks than descriptors: those that are accepted run, the others are
// refused with 503, and there is room again when some have ended.
func TestMoreTasksThanDescriptors(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, exhaustModule, nil)
	d.Wrapper = []string{"prlimit", "--nofile=192:192"}
	d.Start()
	two, operator := d.As(2), d.Self()
	before := descriptors(t, d)
	var live []string
	var refused rig.Answer
	for range 400 {
		if refused = two.Call("m/stay", ""); refused.Status != 202 {
			break
		}
		live = append(live, refused.Tasks(t)[0].ID)
	}
	refusal := refused.Refused(t, 503, deputy.NotDurable)
	if refused.Header.Get("Retry-After") == "" || !strings.Contains(refusal.Detail, "limit of open files") {
		t.Errorf("the refusal: %v %+v", refused.Header, refusal)
	}
	t.Logf("%d tasks of 192 descriptors", len(live))
	if len(live) < 64 {
		t.Errorf("%d tasks were accepted", len(live))
	}
	for _, id := range live {
		running(t, two, id)
	}
	rests(t, d)
	stopped := operator.Stop(live[0], "")
	none(t, stopped)
	again := two.Started("m/quick", "")
	if task := two.Ended(again.ID); task.State != deputy.Succeeded {
		t.Errorf("when there was room again: %s, %s", task.State, reason(task))
	}
	for _, id := range live[1:] {
		operator.Stop(id, "")
	}
	operator.Close()
	two.Close()
	leaksNone(t, d, before)
	d.Verify()
}

// A user who may have no more processes: what is accepted is tried for a while
// and then fails with the reason, deputy lives on, and works when there is room.
func TestForkFails(t *testing.T) {
	rig.NeedRoot(t)
	const uid = 5 // games: the limit counts all processes and threads of a user, and nobody else is this one
	d := prepare(t, strings.Replace(exhaustModule, "uid:0", fmt.Sprint("uid:", uid), 1), nil)
	for _, dir := range []string{d.Config, d.State, d.Work} {
		if err := os.Chown(dir, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	d.Wrapper = []string{"prlimit", "--nproc=150:150", "setpriv", "--reuid", fmt.Sprint(uid), "--regid", fmt.Sprint(uid), "--clear-groups"}
	d.Start()
	c := d.As(uid)
	c.Ended(c.Started("m/quick", "").ID)
	var live []string
	var failed deputy.Task
	for len(live) < 150 {
		task := c.Started("m/stay", "")
		rig.Eventually(t, 60*time.Second, "it runs or fails", func() bool {
			task = c.Task(task.ID)
			return task.State != deputy.Queued
		})
		if task.State == deputy.Failed {
			failed = task
			break
		}
		live = append(live, task.ID)
	}
	t.Logf("%d tasks live; the next: %s", len(live), reason(failed))
	took := failed.Ended.Sub(failed.Created.Time)
	if len(live) == 0 || !strings.HasPrefix(reason(failed), "cannot start: ") || !strings.Contains(reason(failed), "it was tried for 5s: a limit of processes") || took < 5*time.Second {
		t.Errorf("%d tasks live, and then: %s, %s", len(live), failed.State, reason(failed))
	}
	if n := len(d.Events(deputy.MonitorStart)); n != 1 {
		t.Errorf("%d monitors were started; it said:\n%s", n, d.Log())
	}
	for _, id := range live {
		if task := c.Task(id); task.State != deputy.Running {
			t.Errorf("%s, %s", task.State, reason(task))
		}
	}
	rests(t, d)
	for _, id := range live {
		none(t, c.Stop(id, ""))
	}
	if task := c.Ended(c.Started("m/quick", "").ID); task.State != deputy.Succeeded {
		t.Errorf("when there was room again: %s, %s", task.State, reason(task))
	}
}

// Each part is held for a while, and then goes on as if nothing had been.
func TestPartsAreHeldForAWhile(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	const held = 6 * time.Second // longer than a connection's number outlives its peer
	long := startEnding(t, d, "long", "witness")
	before := parts(d)
	for _, name := range []string{"server", "monitor", "keeper"} {
		c := d.Self()
		c.Task(long.task.ID) // a connection that lives through it
		short := c.Started("m/short", "")
		e := startEnding(t, d, "during-"+name, "7")
		pid := before[name]
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		asked := make(chan rig.Answer, 1)
		go func() {
			answer, _ := c.Try("POST", "/v1/actions/m/once", "")
			asked <- answer
		}()
		e.release()
		time.Sleep(held)
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if answer := <-asked; answer.Status != 202 {
			t.Errorf("asked while the %s was held: %d %s", name, answer.Status, answer.Body)
		}
		e.check(c, "while the "+name+" was held")
		if task := c.Ended(short.ID); task.State != deputy.TimedOut {
			t.Errorf("with the %s held, a task of 3 s: %s, %s", name, task.State, reason(task))
		}
		running(t, c, long.task.ID)
	}
	for name, pid := range parts(d) {
		if pid != before[name] {
			t.Errorf("the %s is another process", name)
		}
	}
	long.release()
	long.check(d.Self(), "after all")
	if n := len(lines(t, d.Work+"/starts")); n != 3 {
		t.Errorf("%d starts of 3", n)
	}
	d.Verify()
}

// The machine has neither a file nor memory to spare: who connects waits and who
// was accepted stays queued, no part spins, and all goes on once there is some.
func TestTheMachineHasNothingToSpare(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, exhaustModule, nil)
	mend := failing(t, d, "accept4:error=ENFILE")
	asked := make(chan rig.Answer, 1)
	go func() {
		answer, _ := d.Self().Try("GET", "/v1/actions", "")
		asked <- answer
	}()
	rests(t, d)
	select {
	case answer := <-asked:
		t.Errorf("answered %d", answer.Status)
	default:
	}
	mend()
	if answer := <-asked; answer.Status != 200 {
		t.Errorf("answered %d", answer.Status)
	}

	mend = failingIn(t, d.Part("--role forker"), "clone3:error=ENOMEM")
	c := d.Self()
	task := c.Started("m/quick", "")
	rests(t, d)
	if task = c.Task(task.ID); task.State != deputy.Queued {
		t.Errorf("it is %s: %s", task.State, reason(task))
	}
	mend()
	if task = c.Ended(task.ID); task.State != deputy.Succeeded || task.Attempt != 1 {
		t.Errorf("it ended %s in attempt %d: %s", task.State, task.Attempt, reason(task))
	}
	d.Verify()
}

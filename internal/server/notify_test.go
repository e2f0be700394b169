//go:build linux

package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
)

const (
	taskID  = "01890a5d-ac96-774b-bcce-000000000001"
	otherID = "01890a5d-ac96-774b-bcce-000000000002"
)

// told is a history of one thing: the progress of tasks.
type told struct {
	mu    sync.Mutex
	now   map[string]deputy.Progress
	times map[string][]time.Time
}

func newTold(ids ...string) *told {
	h := &told{now: map[string]deputy.Progress{}, times: map[string][]time.Time{}}
	for _, id := range ids {
		h.now[id] = deputy.Progress{}
	}
	return h
}

func (h *told) Task(_ context.Context, id string) (deputy.Task, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, found := h.now[id]
	return deputy.Task{ID: id, State: deputy.Running, Progress: &p}, found, nil
}

func (h *told) SetProgress(id string, p deputy.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now[id] = p
	h.times[id] = append(h.times[id], time.Now())
}

func (h *told) progress(id string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := ""
	if p := h.now[id]; p.Percent != nil {
		text = fmt.Sprint(*p.Percent)
	}
	if p := h.now[id]; p.Message != nil {
		text += " " + *p.Message
	}
	return text
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

// listen starts a listener whose senders are looked up under proc.
func listen(t *testing.T, h *told, proc, cgroupTasks string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	socket.Close()
	l, err := listenProgress(file, cgroupTasks, h)
	if err != nil {
		t.Fatal(err)
	}
	l.find.proc = proc
	ended := make(chan struct{})
	go func() { defer close(ended); _ = l.run() }()
	t.Cleanup(func() { l.close(); <-ended })
	return path
}

// fakeProc says of this process that it is in a cgroup.
func fakeProc(t *testing.T, cgroup string) string {
	dir := t.TempDir()
	self := filepath.Join(dir, fmt.Sprint(os.Getpid()))
	if err := os.Mkdir(self, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(self, "cgroup"), []byte(cgroup), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func dial(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func tell(t *testing.T, conn *net.UnixConn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestProgress(t *testing.T) {
	h := newTold(taskID, otherID)
	conn := dial(t, listen(t, h, fakeProc(t, "1:name=systemd:/x\n0::/deputy/tasks/"+taskID+".1/below\n"), "/deputy/tasks"))
	for _, c := range []struct{ text, want string }{
		{"X_PERCENT=42", "42"},
		{"STATUS=half way", "42 half way"}, // each leaves the other as it was
		{"READY=1\nX_PERCENT=43.5\nSTATUS=on\nWATCHDOG=1", "43.5 on"},
		{"STATUS=a\x1b[31mb\x00\tc\xff", "43.5 a [31mb  c\ufffd"}, // a terminal obeys nothing of it
		{"X_PERCENT=101", ""}, {"X_PERCENT=-1", ""}, {"X_PERCENT=NaN", ""}, {"X_PERCENT=", ""}, {"X_PERCENT=1e9", ""},
		{"DEPUTY_TASK=" + otherID + "\nX_PERCENT=44", "44 a [31mb  c\ufffd"},
		{"STATUS=" + strings.Repeat("€", 200), "44 " + strings.Repeat("€", 170)}, // 512 bytes, no half character
		{"STATUS=" + strings.Repeat("x", maxDatagram), ""},                       // too long as a whole
		{"X_PERCENT=100\nSTATUS=", "100 "},
	} {
		before := h.progress(taskID)
		tell(t, conn, c.text)
		if c.want == "" {
			c.want = before
			tell(t, conn, "X_PERCENT=1")
			until(t, "what follows gets through", func() bool { return strings.HasPrefix(h.progress(taskID), "1") })
			_, message, _ := strings.Cut(before, " ")
			if got := h.progress(taskID); got != "1 "+message {
				t.Errorf("%.40q gives %q", c.text, got)
			}
			tell(t, conn, "X_PERCENT="+strings.Split(before, " ")[0])
		}
		until(t, fmt.Sprintf("%.40q gives %.40q (%.40q)", c.text, c.want, h.progress(taskID)), func() bool { return h.progress(taskID) == c.want })
	}
	if got := h.progress(otherID); got != "" {
		t.Errorf("another's progress is %q", got)
	}
}

// TestProgressFlood: at most ten a second get through, and the last always does.
func TestProgressFlood(t *testing.T) {
	h := newTold(taskID)
	conn := dial(t, listen(t, h, fakeProc(t, "0::/tasks/"+taskID+".12\n"), "/tasks"))
	began := time.Now()
	for i := range 5000 {
		tell(t, conn, fmt.Sprintf("X_PERCENT=%g\nSTATUS=%d", float64(i)/50, i))
	}
	until(t, "the last got through", func() bool { return h.progress(taskID) == "99.98 4999" })
	h.mu.Lock()
	defer h.mu.Unlock()
	times := h.times[taskID]
	if most := int(time.Since(began)/progressPeriod) + 2; len(times) > most || len(times) < 2 {
		t.Errorf("%d got through, not 2 to %d", len(times), most)
	}
	for i := 1; i < len(times); i++ {
		if apart := times[i].Sub(times[i-1]); apart < progressPeriod*9/10 {
			t.Errorf("two within %v", apart)
		}
	}
}

// TestProgressOfOthers: who is in no task's cgroup is not heard.
func TestProgressOfOthers(t *testing.T) {
	for _, cgroup := range []string{
		"0::/user.slice\n", "0::/tasks\n", "0::/tasks/\n", "0::/tasksx/" + taskID + ".1\n", "0::/x/tasks/" + taskID + ".1\n",
		"1:cpu:/tasks/" + taskID + ".1\n", "0::/tasks/" + taskID + "\n", "",
	} {
		find := sender{proc: fakeProc(t, cgroup), cgroupTasks: "/tasks", tasks: newTold(taskID)}
		if id := find.task(os.Getpid()); id != "" {
			t.Errorf("%q is taken for task %s", cgroup, id)
		}
	}
}

// TestBarrier: BARRIER=1 of sd_notify_barrier(3) waits until its descriptor is
// closed, and so until what was told before was received.
func TestBarrier(t *testing.T) {
	h := newTold(taskID)
	conn := dial(t, listen(t, h, fakeProc(t, "0::/tasks/"+taskID+".1\n"), "/tasks"))
	tell(t, conn, "X_PERCENT=7")
	barrier(t, conn)
	if got := h.progress(taskID); got != "7" {
		t.Errorf("behind the barrier the progress is %q", got)
	}
}

// TestReaper: without cgroups the task is that of the topmost subreaper, which
// a task cannot replace by something that looks like one.
func TestReaper(t *testing.T) {
	// sh -c '… & wait' deputyd reaper ID.1 looks like a subreaper of ID.
	look := func(id, script string) *exec.Cmd {
		return exec.Command("/bin/sh", "-c", script, "deputyd", "--role", "reaper", id+".1")
	}
	h := newTold(taskID, otherID)
	path := listen(t, h, "/proc", "")
	const script = `"$TEST_PROGRAM" -test.run=TestTellFromBelow; :`
	inner := fmt.Sprintf(`/bin/sh -c '%s' "$TEST_PROGRAM" --role reaper %s.1; :`, script, otherID)
	for _, c := range []struct{ script, mine, others string }{
		{script, "55", ""},
		{inner, "66", ""},
	} {
		cmd := look(taskID, c.script)
		cmd.Env = append(os.Environ(), "TEST_NOTIFY="+path, "TEST_PERCENT="+c.mine, "TEST_PROGRAM="+os.Args[0])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got, others := h.progress(taskID), h.progress(otherID); got != c.mine || others != c.others {
			t.Errorf("the progress is %q and %q, want %q and %q", got, others, c.mine, c.others)
		}
		time.Sleep(progressPeriod) // so that the next one gets through at once
	}
	tell(t, dial(t, path), "X_PERCENT=99") // this process is below no subreaper
	cmd := look("unknown", script)
	cmd.Env = append(os.Environ(), "TEST_NOTIFY="+path, "TEST_PERCENT=88", "TEST_PROGRAM="+os.Args[0])
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := h.progress(taskID) + h.progress(otherID); got != "66" {
		t.Errorf("others are heard: %q", got)
	}
}

// TestTellFromBelow is not a test but what TestReaper's processes run: it tells
// and lives until it was heard.
func TestTellFromBelow(t *testing.T) {
	path := os.Getenv("TEST_NOTIFY")
	if path == "" {
		return
	}
	conn := dial(t, path)
	tell(t, conn, "X_PERCENT="+os.Getenv("TEST_PERCENT"))
	barrier(t, conn)
}

// barrier returns when all that conn told before was received.
func barrier(t *testing.T, conn *net.UnixConn) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctlErr := raw.Write(func(fd uintptr) bool {
		err = unix.Sendmsg(int(fd), []byte("BARRIER=1"), unix.UnixRights(int(write.Fd())), nil, 0)
		return err != unix.EAGAIN
	}); ctlErr != nil || err != nil {
		t.Fatal(ctlErr, err)
	}
	write.Close()
	_ = read.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := read.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Fatalf("the descriptor is not closed: %v", err)
	}
}

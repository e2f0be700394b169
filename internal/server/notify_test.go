//go:build linux

package server

import (
	"bytes"
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
	"deputy/internal/server/history"
	"deputy/test/rig"
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
	first map[string]history.First
}

func newTold(ids ...string) *told {
	h := &told{now: map[string]deputy.Progress{}, times: map[string][]time.Time{}, first: map[string]history.First{}}
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

func (h *told) First(id string) (history.First, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, found := h.now[id]
	return h.first[id], found
}

// started records a process as the first one of a task.
func (h *told) started(t *testing.T, id string, pid int) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, born := parentOf(stat)
	if err != nil || born == 0 {
		t.Fatal(err)
	}
	h.set(id, history.First{PID: pid, BootNS: born})
}

func (h *told) set(id string, f history.First) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.first[id] = f
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
func listen(t *testing.T, h *told, proc, cgroupTasks string, before ...func(path string)) (path string) {
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
	for _, do := range before {
		do(path)
	}
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
		if id := find.byCgroup(os.Getpid()); id != "" {
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

// What comes with a report may be a socket whose close waits for an hour, and the last of its kind.
func TestWhatComesWithAReportIsNotWaitedFor(t *testing.T) {
	h := newTold(taskID)
	path := listen(t, h, fakeProc(t, "0::/tasks/"+taskID+".1\n"), "/tasks", func(path string) {
		conn := dial(t, path)
		for range 5 {
			fd, err := rig.Lingering()
			if err != nil {
				t.Fatal(err)
			}
			pass(t, conn, fd)
			unix.Close(fd) // nobody receives yet: this is not the last
		}
	})
	conn := dial(t, path)
	tell(t, conn, "X_PERCENT=7")
	barrier(t, conn)
	if got := h.progress(taskID); got != "7" {
		t.Errorf("the progress is %q", got)
	}
}

// play runs "sh -c SCRIPT deputyd --role reaper ID.1", which looks like the subreaper
// of a task, until it has ended. begun is called while it waits for its turn.
func play(t *testing.T, path, script, id, percent string, begun func(pid int)) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "read turn; "+script, "deputyd", "--role", "reaper", id+".1")
	cmd.Env = append(os.Environ(), "TEST_NOTIFY="+path, "TEST_PERCENT="+percent, "TEST_PROGRAM="+os.Args[0])
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun(cmd.Process.Pid)
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	time.Sleep(progressPeriod) // so that the next one gets through at once
}

const tellFromBelow = `"$TEST_PROGRAM" -test.run=TestTellFromBelow; :`

// TestReaper: without cgroups the task is that of the subreaper above the sender,
// which is the process that the journal names and no other, whatever it looks like.
func TestReaper(t *testing.T) {
	h := newTold(taskID, otherID)
	path := listen(t, h, "/proc", "")
	mine := func(pid int) { h.started(t, taskID, pid) }
	none := func(int) {}
	play(t, path, tellFromBelow, taskID, "55", mine)
	if got := h.progress(taskID); got != "55" {
		t.Errorf("the progress is %q", got)
	}
	// One below its own says to be another's, whose start is known, and then is not.
	inner := fmt.Sprintf(`/bin/sh -c '%s' "$TEST_PROGRAM" --role reaper %s.1; :`, tellFromBelow, otherID)
	h.started(t, otherID, os.Getpid())
	play(t, path, inner, taskID, "66", mine)
	h.set(otherID, history.First{})
	play(t, path, inner, taskID, "67", mine)
	if got, others := h.progress(taskID), h.progress(otherID); got != "67" || others != "" {
		t.Errorf("the progress is %q and %q", got, others)
	}
	// Strangers: below no subreaper, below what looks like one, below one whose number
	// a process had before.
	tell(t, dial(t, path), "X_PERCENT=99")
	play(t, path, tellFromBelow, taskID, "88", none)
	play(t, path, tellFromBelow, "unknown", "88", none)
	play(t, path, tellFromBelow, taskID, "88", func(pid int) {
		h.set(taskID, history.First{PID: pid, BootNS: int64(time.Second)})
	})
	if got := h.progress(taskID) + h.progress(otherID); got != "67" {
		t.Errorf("others are heard: %q", got)
	}
}

// TestEarlyReports: what is told before the start is known is heard once it is, in
// order; what turns out to be another's is not.
func TestEarlyReports(t *testing.T) {
	h := newTold(taskID, otherID)
	path := listen(t, h, "/proc", "")
	pid := 0
	play(t, path, tellFromBelow, taskID, "11", func(n int) { pid = n; h.started(t, otherID, n) })
	first, _ := h.First(otherID)
	h.set(otherID, history.First{})
	play(t, path, tellFromBelow, otherID, "22", func(int) {})
	if got := h.progress(taskID) + h.progress(otherID); got != "" {
		t.Fatalf("heard too early: %q", got)
	}
	h.mu.Lock()
	h.first[taskID], h.first[otherID] = history.First{PID: pid, BootNS: first.BootNS}, first
	h.mu.Unlock()
	until(t, "what was told early is heard", func() bool { return h.progress(taskID) == "11" })
	if got := h.progress(otherID); got != "" {
		t.Errorf("another is heard: %q", got)
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
	pass(t, conn, int(write.Fd()))
	write.Close()
	_ = read.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := read.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Fatalf("the descriptor is not closed: %v", err)
	}
}

// pass sends a descriptor, as sd_notify_barrier(3) does.
func pass(t *testing.T, conn *net.UnixConn, passed int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctlErr := raw.Write(func(fd uintptr) bool {
		err = unix.Sendmsg(int(fd), []byte("BARRIER=1"), unix.UnixRights(passed), nil, 0)
		return err != unix.EAGAIN
	}); ctlErr != nil || err != nil {
		t.Fatal(ctlErr, err)
	}
}

//go:build linux

package journal

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// killPoints are the system calls of a journal's life, each with how often it
// is made in one: begin a segment, append, fail for want of room, go on in the
// reserve, make another, retire.
func killPoints() []struct {
	calls string
	times int
} {
	return []struct {
		calls string
		times int
	}{
		{"openat", 12}, {"write", 14}, {"fdatasync", 6}, {"fsync", 12}, {"fallocate", 2}, {"ftruncate", 1}, {"?rename,?renameat,?renameat2", 1}, {"?unlink,?unlinkat", 4},
	}
}

// Wherever in its calls a process dies that appends to a journal, the next one
// finds all that was acknowledged, and a whole chain.
func TestKilledAtEveryCall(t *testing.T) {
	if os.Getenv("JOURNAL_TEST_CHILD") == t.Name() {
		liveAndDie(t)
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("needs strace; test/run installs it")
	}
	points, reached := 0, 0
	for _, p := range killPoints() {
		for n := 1; n <= p.times; n++ {
			points++
			dir := filepath.Join(t.TempDir(), "journal")
			if killedAt(t, dir, p.calls, n) {
				reached++
			}
		}
	}
	if reached < points*3/4 {
		t.Errorf("%d of %d points were reached", reached, points)
	}
	t.Logf("%d of %d points were reached", reached, points)
}

// killedAt has a child die on its way into the nth of some calls that one of its
// threads makes once it has begun, and looks at what it leaves.
func killedAt(t *testing.T, dir, calls string, n int) (died bool) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "JOURNAL_TEST_CHILD="+t.Name(), "JOURNAL_TEST_DIR="+dir, "GOMAXPROCS=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	if line, err := said.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	// From here on: what it does before is the runtime's, and differs.
	tracer := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", calls, n), "-p", fmt.Sprint(child.Process.Pid))
	if err := tracer.Start(); err != nil {
		t.Fatal(err)
	}
	attached(t, child.Process.Pid)
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	var heads []Head
	for {
		line, err := said.ReadString('\n')
		if err != nil {
			break
		}
		h, err := ParseHead(line)
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, h)
	}
	err = child.Wait()
	_ = tracer.Wait()
	if died = err != nil; died && !child.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatal(err)
	}
	where := fmt.Sprintf("killed at %s %d, after %d heads", calls, n, len(heads))
	j, r, err := Open(dir, Options{SegmentSize: 4000})
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if len(heads) > 0 && j.Durable() < heads[len(heads)-1].Seq {
		t.Errorf("%s: record %d was acknowledged, and %d is the last", where, heads[len(heads)-1].Seq, j.Durable())
	}
	if r.File != "" {
		replayed(t, r)
	}
	appendN(t, j, 10) // over the beginning of a segment
	j.Reserve(64 << 10)
	if err := j.Flush(); err != nil || j.Short() != nil {
		t.Errorf("%s: %v, %v", where, err, j.Short())
	}
	mustClose(t, j)
	if report, err := Verify(dir, heads, nil); err != nil || !report.OK() {
		t.Errorf("%s: %+v, %v", where, report, err)
	}
	return died
}

// attached waits until every thread of a process is traced.
func attached(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		traced := 0
		for _, file := range threads {
			if text, _ := os.ReadFile(file); !bytes.Contains(text, []byte("TracerPid:\t0\n")) {
				traced++
			}
		}
		if len(threads) > 0 && traced == len(threads) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("strace does not attach")
		}
	}
}

// liveAndDie is a journal's whole life. What it knows to be durable it says.
func liveAndDie(t *testing.T) {
	say := func(text string) {
		if _, err := os.Stdout.WriteString(text + "\n"); err != nil {
			os.Exit(1)
		}
	}
	say("ready")
	if _, err := os.Stdin.Read(make([]byte, 16)); err != nil {
		os.Exit(1)
	}
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	j, _, err := Open(os.Getenv("JOURNAL_TEST_DIR"), Options{SegmentSize: 4000})
	must(err)
	record := func(times int) {
		for i := range times {
			j.Append(accepted(i))
			must(j.Flush())
			say(j.Head().String())
		}
	}
	j.Reserve(64 << 10)
	record(12)
	j.fail(unix.ENOSPC) // as the writer does, who is idle
	_, _, err = resume(j)
	must(err)
	say(j.Head().String())
	record(2)
	j.Reserve(64 << 10)
	record(8)
	must(retire(j, 2))
	say(j.Head().String())
	record(1)
	must(j.Close())
	os.Exit(0)
}

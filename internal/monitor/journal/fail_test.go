//go:build linux

package journal

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"deputy"

	"golang.org/x/sys/unix"
)

// inChild runs the test again, alone and in a process of its own, whose limits
// it may then change; true says that this is that process.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv("JOURNAL_TEST_CHILD") == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_CHILD="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// limitFiles lets no file grow beyond size, like a disk that is full: the write
// that would is cut short, the next fails with EFBIG (setrlimit(2)).
func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = size
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
}

func TestFailedWriteAndResume(t *testing.T) {
	if !inChild(t) {
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	dir := t.TempDir()
	notified := make(chan struct{}, 1000)
	j, _ := mustOpen(t, dir, Options{Notify: func() { notified <- struct{}{} }, Checkpoint: func() *deputy.Event { return &deputy.Event{Policy: strings.Repeat("p", 700)} }})
	appendN(t, j, 3) // to record 4
	good := readFiles(t, dir)
	size := uint64(len(good["00000000000000000001.jsonl"]))

	limitFiles(t, size+700) // one more record, and half of another
	for i := range 5 {
		j.Append(accepted(i)) // 5 to 9
	}
	for j.Err() == nil {
		<-notified
	}
	durable := j.Durable() // 4 or 5: whether 5 was a batch of its own is a race
	if err := j.Err(); !errors.Is(err, syscall.EFBIG) || durable > 5 || j.Flush() == nil {
		t.Fatalf("durable %d, %v", durable, err)
	}
	if seq := j.Append(accepted(9)); seq != 10 {
		t.Errorf("appended as %d", seq)
	}
	reader, err := j.ReadFrom(durable + 1)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if lines, _, err := reader.Next(10); len(lines) != 0 || err != nil {
		t.Errorf("read what is not durable: %s, %v", lines, err)
	}
	for _, size := range []uint64{600, 1000} { // not even a checkpoint fits; not what follows it
		limitFiles(t, size)
		if from, to, err := resume(j); from != durable+1 || to != 10 || err == nil || j.Err() == nil {
			t.Fatal(from, to, err)
		}
	}
	limitFiles(t, unix.RLIM_INFINITY)
	if from, to, err := resume(j); from != durable+1 || to != 10 || err != nil || j.Err() != nil {
		t.Fatal(from, to, err)
	}
	if from, to, err := resume(j); from != 0 || to != 0 || err != nil {
		t.Fatal("resumed what had not failed", from, to, err)
	}
	appendN(t, j, 2)
	lines, _, err := reader.Next(10)
	if err != nil || !bytes.Contains(lines[0], []byte(`"type":"checkpoint"`)) || readHead(lines[0]).seq != durable+1 ||
		!bytes.Contains(lines[1], []byte(`"type":"cancelled"`)) || !bytes.Contains(lines[1], []byte("file too large")) {
		t.Fatalf("read %s, %v", lines, err)
	}
	if got := readAll(t, j, 1); uint64(len(got)) != durable+4 {
		t.Errorf("%d lines", len(got))
	}
	head, err := Export(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dir, head); r.Segments != 2 || r.Records != int64(durable)+4 || r.Undone != 0 {
		t.Errorf("report %+v", r)
	}
	mustClose(t, j)
	_, r := mustOpen(t, dir, Options{})
	if got := replayed(t, r); len(got) != 4 || got[0].From != durable+1 || got[0].To != 10 || got[1].From != durable+1 || got[1].To != 10 {
		t.Errorf("replayed %+v", got)
	}
}

// breakSync puts a file in the live one's place that can be written but not
// synced. The writer must be idle.
func breakSync(t *testing.T, j *Journal) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	j.live.Close()
	j.live = w
}

// What a failed write leaves may still be there, whole or torn, when it could
// not be cut off: it is no part of the journal, and nobody reads it.
func TestLeftoverOfAFailedSync(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "00000000000000000001.jsonl")
	j, _ := mustOpen(t, dir, Options{})
	appendN(t, j, 4)
	durable, _ := os.ReadFile(name)
	appendN(t, j, 3)
	leftover, _ := os.ReadFile(name)
	mustClose(t, j)
	if err := os.WriteFile(name, durable, 0o600); err != nil {
		t.Fatal(err)
	}

	j, _ = mustOpen(t, dir, Options{})
	breakSync(t, j)
	j.Append(accepted(1))
	if err := j.Flush(); err == nil || j.Durable() != 5 {
		t.Fatalf("durable %d, %v", j.Durable(), err)
	}
	if from, to, err := resume(j); from != 6 || to != 6 || err != nil {
		t.Fatal(from, to, err)
	}
	appendN(t, j, 2)
	mustClose(t, j)

	for _, test := range []struct {
		name   string
		undone int
	}{{"whole", len(leftover) - len(durable)}, {"torn", len(leftover) - len(durable) - 9}, {"begun", 1}} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.WriteFile(name, leftover[:len(durable)+test.undone], 0o600); err != nil {
				t.Fatal(err)
			}
			if r, err := verify(dir, nil, nil, 300); err != nil || !r.OK() || r.Undone != int64(test.undone) {
				t.Errorf("in small chunks: %+v, %v", r, err)
			}
			if r := mustVerify(t, dir); r.Records != 9 || r.Undone != int64(test.undone) {
				t.Errorf("report %+v", r)
			}
			j, _ := mustOpen(t, dir, Options{})
			defer mustClose(t, j)
			for from := 1; from < 10; from++ {
				if got := readAll(t, j, uint64(from)); len(got) != 10-from {
					t.Errorf("from %d: %d lines", from, len(got))
				}
			}
		})
	}
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	if os.Getenv("JOURNAL_TEST_CHILD") == t.Name() {
		appendForEver(t)
	}
	dir := t.TempDir()
	for round := range 30 {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "JOURNAL_TEST_CHILD="+t.Name(), "JOURNAL_TEST_DIR="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var heads []Head
		var text strings.Builder
		buf := make([]byte, 4096)
		for n := 0; strings.Count(text.String(), "\n") <= 3+round*5; { // killed ever later, wherever it stands
			if n, err = out.Read(buf); err != nil {
				t.Fatal(err, text.String())
			}
			text.Write(buf[:n])
		}
		cmd.Process.Kill()
		for err = nil; err == nil; { // what it said before it died counts
			var n int
			n, err = out.Read(buf)
			text.Write(buf[:n])
		}
		cmd.Wait()
		said := strings.SplitAfter(text.String(), "\n")
		for _, line := range said[:len(said)-1] {
			h, err := ParseHead(line)
			if err != nil {
				t.Fatal(err)
			}
			heads = append(heads, h)
		}
		j, r := mustOpen(t, dir, Options{})
		if len(r.Cuts) > 0 {
			t.Log(r.Cuts)
		}
		mustClose(t, j)
		mustVerify(t, dir, heads...)
	}
}

// appendForEver says the head of what it knows to be durable, again and again.
func appendForEver(t *testing.T) {
	changed := make(chan struct{}, 1)
	j, _ := mustOpen(t, os.Getenv("JOURNAL_TEST_DIR"), Options{SegmentSize: 20000, Notify: func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}})
	for said := j.Durable(); ; {
		for i := range 7 {
			j.Append(accepted(i))
		}
		<-changed
		j.mu.Lock()
		s := j.segments[len(j.segments)-1]
		j.mu.Unlock()
		if s.Last > said {
			said = s.Last
			r := record{seq: s.Last, sum: s.head}
			head := r.head()
			head.Time.Time = s.Time
			if _, err := os.Stdout.WriteString(head.String() + "\n"); err != nil {
				os.Exit(1)
			}
		}
	}
}

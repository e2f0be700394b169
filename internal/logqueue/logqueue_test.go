//go:build linux

package logqueue

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func notice(w io.Writer, lost uint64) { fmt.Fprintf(w, "%d lost\n", lost) }

// opened is a pipe with as little room as a pipe can have.
func opened(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	return r, w
}

// reader gives the lines of a log until one that says "end".
func reader(t *testing.T, r io.Reader, more func()) []string {
	t.Helper()
	var all []string
	for lines := bufio.NewScanner(r); lines.Scan(); {
		all = append(all, lines.Text())
		if lines.Text() == "end" {
			return all
		}
		more()
	}
	t.Fatalf("the log ended after %d lines", len(all))
	return nil
}

// What nobody reads waits for nobody; read at last it is whole, in order, up to
// what found no room, which is counted in its place.
func TestAPipeThatNobodyReads(t *testing.T) {
	r, w := opened(t)
	q := New(w, notice)
	const written = 50_000
	began := time.Now()
	for i := range written {
		fmt.Fprintf(q, "line %d %s\n", i, strings.Repeat("x", 80))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("writing took %v", took)
	}
	lost := q.Lost()
	if lost == 0 || lost >= written {
		t.Fatalf("%d of %d lines were lost", lost, written)
	}
	// What comes while lines that were lost are not told of yet is lost, too; the
	// last line comes behind that.
	ended := false
	all := reader(t, r, func() {
		if q.mu.Lock(); q.dropped == 0 && !ended {
			ended = true
			q.mu.Unlock()
			fmt.Fprintln(q, "end")
			return
		}
		q.mu.Unlock()
	})
	kept := written - int(lost)
	for i := range kept {
		if want := fmt.Sprintf("line %d ", i); !strings.HasPrefix(all[i], want) {
			t.Fatalf("line %d is %.40q", i, all[i])
		}
	}
	if want := []string{fmt.Sprintf("%d lost", lost), "end"}; strings.Join(all[kept:], "|") != strings.Join(want, "|") {
		t.Errorf("behind what was kept: %q, want %q", all[kept:], want)
	}
}

// A log that nobody can read any more ends nobody. What is lost is counted at once.
func TestAClosedPipe(t *testing.T) {
	SurvivePipes()
	r, w := opened(t)
	q := New(w, notice)
	fmt.Fprintln(q, "read")
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "read\n" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	r.Close()
	for range 100 {
		fmt.Fprintln(q, "lost")
	}
	q.Flush(time.Minute)
	if n := q.Lost(); n != 100 {
		t.Errorf("%d lines were lost, want 100", n)
	}
}

// A log whose disk is full takes lines again once there is room, behind how many
// it did not.
func TestAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: make test as root runs it")
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=8192"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	fill := dir + "/fill"
	if err := os.WriteFile(fill, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(dir+"/log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	q := New(log, notice)
	line := strings.Repeat("x", 999)
	for range 8 { // four whole ones, and a part of the fifth
		fmt.Fprintln(q, line)
	}
	q.Flush(time.Minute)
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(q, "again")
	q.Flush(time.Minute)
	text, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat(line+"\n", 4) + line[:96] + "\n4 lost\nagain\n"; string(text) != want {
		t.Errorf("%d bytes, want %d; the end is %q", len(text), len(want), text[max(0, len(text)-120):])
	}
}

// Whether the descriptor blocks is another's to say: the open file is shared.
func TestADescriptorThatDoesNotBlock(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w") // as stderr is made, of one that blocks
	defer r.Close()
	q := New(w, notice)
	if err := syscall.SetNonblock(fds[1], true); err != nil { // and then somebody else changed it
		t.Fatal(err)
	}
	for i := range 5000 {
		fmt.Fprintf(q, "line %d %s\n", i, strings.Repeat("x", 80))
	}
	fmt.Fprintln(q, "end")
	if all := reader(t, r, func() {}); len(all) != 5001 || q.Lost() != 0 {
		t.Errorf("%d lines came, %d were lost", len(all), q.Lost())
	}
}

// A program that ends waits for its log, but not for ever.
func TestFlush(t *testing.T) {
	r, w := opened(t)
	q := New(w, notice)
	fmt.Fprintln(q, "first")
	q.Flush(time.Minute)
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "first\n" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	fmt.Fprintln(q, strings.Repeat("x", 8192))
	began := time.Now()
	q.Flush(50 * time.Millisecond)
	if took := time.Since(began); took < 50*time.Millisecond || took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

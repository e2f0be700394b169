//go:build linux

package output

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deputy"
)

// TestFollowWhilePunching follows a fast writer under a small cap from the
// first byte to the last: every byte is exact, every other told as gone.
func TestFollowWhilePunching(t *testing.T) {
	const total, limit = 256 << 20, 1 << 20
	for name, parent := range fileSystems(t) {
		t.Run(name, func(t *testing.T) {
			dir, stdout, _ := makeTask(t, parent)
			capper, watcher := makeCapper(t), makeWatcher(t)
			if err := capper.Add(dir, limit); err != nil {
				t.Fatal(err)
			}
			reader, err := Open(dir, Stdout)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			cmd := writer(stdout, total, 64<<10)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				if err := cmd.Wait(); err != nil {
					t.Error(err)
				}
				if _, _, err := finish(capper, dir); err != nil {
					t.Error(err)
				}
			}()
			shown, gone := follow(t, watcher.Follow(reader, 0, End{ended, func() int64 { return total }}))
			if shown+gone != total {
				t.Errorf("%d bytes shown and %d told as gone are not %d", shown, gone, total)
			}
			t.Logf("%d MiB shown, %d MiB told as gone", shown>>20, gone>>20)
		})
	}
}

// follow reads to the end and holds each byte against the pattern.
func follow(t *testing.T, f *Follower) (shown, gone int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	buf := make([]byte, 300_000)
	for {
		at := f.Offset()
		n, gap, err := f.Next(ctx, buf)
		switch {
		case err == io.EOF:
			return shown, gone
		case err != nil:
			t.Fatal(err)
		case gap != nil:
			if gap[0] != at || gap[1] != f.Offset() {
				t.Fatalf("gap %v told at %d, going on at %d", *gap, at, f.Offset())
			}
			gone += gap[1] - gap[0]
		default:
			checkPattern(t, buf[:n], at)
			shown += int64(n)
		}
	}
}

// TestReadWhilePunching reads the same places over and over while the gap
// grows across them: never a punched zero as data.
func TestReadWhilePunching(t *testing.T) {
	const size = 8 << 20
	const rounds = 12
	for name, parent := range fileSystems(t) {
		t.Run(name, func(t *testing.T) {
			for range rounds {
				readWhilePunching(t, filepath.Join(parent, "round"), size)
			}
		})
	}
}

func readWhilePunching(t *testing.T, parent string, size int64) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(parent)
	dir, stdout, _ := makeTask(t, parent)
	if err := writePattern(stdout, size, 1<<20); err != nil {
		t.Fatal(err)
	}
	reader, err := Open(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	const from, step = 64 << 10, 64 << 10
	punched := make(chan error, 1)
	go func() {
		c, err := newCapped(filepath.Join(dir, Stdout), 2*from, maphash.MakeSeed())
		for to := int64(from + step); err == nil && to < size-step; to += step {
			err = c.punch(stdout, from, to)
		}
		punched <- err
	}()
	buf := make([]byte, 100_000)
	for finished := false; !finished; {
		select {
		case err := <-punched:
			if err != nil {
				t.Fatal(err)
			}
			finished = true
		default:
		}
		info, err := reader.Info()
		if err != nil {
			t.Fatal(err)
		}
		edge := int64(from) // just before the gap's growing end is where races are
		if info.Gap != nil {
			edge = info.Gap[1]
		}
		for _, off := range []int64{0, edge - 5, edge, edge + step - 7, edge + 2*step} {
			n, err := reader.ReadAt(buf, off)
			var gone *GapError
			if err != nil && err != io.EOF && !errors.As(err, &gone) {
				t.Fatal(err)
			}
			checkPattern(t, buf[:n], off)
		}
	}
}

func TestReadAt(t *testing.T) {
	dir, stdout, _ := makeTask(t, t.TempDir())
	if _, err := stdout.WriteString("0123456789"); err != nil {
		t.Fatal(err)
	}
	if err := (note{from: 3, to: 6}).write(filepath.Join(dir, Stdout)); err != nil {
		t.Fatal(err)
	}
	reader, err := Open(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	gone := &GapError{From: 3, To: 6}
	for _, c := range []struct {
		off, length int64
		text        string
		err         error
	}{
		{0, 3, "012", nil},
		{0, 4, "012", gone},
		{0, 10, "012", gone},
		{2, 1, "2", nil},
		{2, 9, "2", gone},
		{3, 1, "", gone},
		{5, 9, "", gone},
		{6, 4, "6789", nil},
		{6, 5, "6789", io.EOF},
		{10, 1, "", io.EOF},
		{99, 1, "", io.EOF},
	} {
		buf := make([]byte, c.length)
		n, err := reader.ReadAt(buf, c.off)
		if string(buf[:n]) != c.text || !sameError(err, c.err) {
			t.Errorf("ReadAt(%d bytes, %d) = %q, %v; want %q, %v", c.length, c.off, buf[:n], err, c.text, c.err)
		}
	}
	if n, err := reader.ReadAt(make([]byte, 1), -1); n != 0 || err == nil {
		t.Errorf("at -1: %d, %v", n, err)
	}
}

func sameError(got, want error) bool {
	var g, w *GapError
	if errors.As(want, &w) {
		return errors.As(got, &g) && *g == *w
	}
	return got == want
}

// TestFollowGrowth: a follower wakes for each piece, in order, and ends.
func TestFollowGrowth(t *testing.T) {
	dir, stdout, _ := makeTask(t, t.TempDir())
	watcher := makeWatcher(t)
	reader, err := Open(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ended := make(chan struct{})
	follower := watcher.Follow(reader, 2, End{ended, func() int64 { return 8 }})
	pieces := make(chan string)
	go func() {
		defer close(pieces)
		buf := make([]byte, 100)
		for {
			n, _, err := follower.Next(t.Context(), buf)
			if err != nil {
				if err != io.EOF {
					t.Error(err)
				}
				return
			}
			pieces <- string(buf[:n])
		}
	}()
	for _, piece := range []string{"a", "bcd", "ef\n", "g"} {
		if _, err := stdout.WriteString(piece); err != nil {
			t.Fatal(err)
		}
		want := piece
		if piece == "a" {
			continue // before the offset
		}
		if piece == "bcd" {
			want = "cd"
		}
		if got := <-pieces; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	close(ended)
	if got, more := <-pieces; more {
		t.Errorf("%q after the end", got)
	}
	if follower.Offset() != 8 {
		t.Errorf("offset %d", follower.Offset())
	}
}

// TestFollowersLeave: those who give up, by their context, leave no watch.
func TestFollowersLeave(t *testing.T) {
	dir, stdout, _ := makeTask(t, t.TempDir())
	watcher := makeWatcher(t)
	reader, err := Open(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error)
	const many = 50
	wait := func(ctx context.Context) {
		_, _, err := watcher.Follow(reader, 0, running()).Next(ctx, make([]byte, 10))
		results <- err
	}
	waiters := func() (n int) {
		watcher.mu.Lock()
		defer watcher.mu.Unlock()
		for _, channels := range watcher.waiting {
			n += len(channels)
		}
		return n
	}
	for range many {
		go wait(ctx)
	}
	go wait(t.Context())
	eventually(t, "all wait", func() bool { return waiters() == many+1 })
	cancel()
	for range many {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if n := waiters(); n != 1 {
		t.Errorf("%d wait", n)
	}
	if _, err := stdout.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := <-results; err != nil {
		t.Errorf("the one who stayed: %v", err)
	}
	if n := waiters(); n != 0 {
		t.Errorf("%d wait", n)
	}
	// One more who leaves alone takes its watch along.
	ctx, cancel = context.WithCancel(t.Context())
	follower := watcher.Follow(reader, 1, running())
	go func() {
		_, _, err := follower.Next(ctx, make([]byte, 10))
		results <- err
	}()
	eventually(t, "it waits", func() bool { return waiters() == 1 && watches(t, watcher.notify) == 1 })
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) || watches(t, watcher.notify) != 0 {
		t.Errorf("%v; %d files watched", err, watches(t, watcher.notify))
	}
}

// TestWrittenBeforeFollowed: a write between the last read and the watch is
// not waited for.
func TestWrittenBeforeFollowed(t *testing.T) {
	dir, stdout, _ := makeTask(t, t.TempDir())
	reader, err := Open(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := stdout.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := makeWatcher(t).Follow(reader, 0, running()).wait(ctx); err != nil {
		t.Error(err)
	}
}

func TestFollowCut(t *testing.T) {
	dir, stdout, stderr := makeTask(t, t.TempDir())
	reader, err := Open(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	follower := makeWatcher(t).Follow(reader, 0, running())
	buf := make([]byte, 100)
	shell(t, stdout, stderr, "echo a long first line")
	if n, _, err := follower.Next(t.Context(), buf); err != nil || string(buf[:n]) != "a long first line\n" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	shell(t, stdout, stderr, "echo short >/dev/stdout")
	if _, _, err := follower.Next(t.Context(), buf); err != ErrRewritten {
		t.Fatal(err)
	}
	if n, _, err := follower.Next(t.Context(), buf); err != nil || string(buf[:n]) != "short\n" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

// TestRemovedWhileRead: a reader that holds a punched file open is told that
// it was removed, and not shown its hole.
func TestRemovedWhileRead(t *testing.T) {
	dir, stdout, _ := makeTask(t, t.TempDir())
	capper := makeCapper(t)
	if err := capper.Add(dir, 0); err != nil {
		t.Fatal(err)
	}
	if err := writePattern(stdout, 1<<20, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, _, err := finish(capper, dir); err != nil {
		t.Fatal(err)
	}
	reader, err := Open(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	if n, err := reader.ReadAt(make([]byte, 100), 100_000); n != 0 || !errors.Is(err, ErrRemoved) {
		t.Errorf("%d, %v", n, err)
	}
	if _, _, err := makeWatcher(t).Follow(reader, 0, running()).Next(t.Context(), make([]byte, 1)); !errors.Is(err, ErrRemoved) {
		t.Error(err)
	}
	if _, err := Stat(dir, Stdout); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := Remove(dir); err != nil {
		t.Errorf("removed already: %v", err)
	}
}

func TestNotes(t *testing.T) {
	for _, n := range []note{{}, {from: 1, to: 2}, {from: 0, to: 0, rewritten: true}, {from: 5, to: 1 << 50, rewritten: true}} {
		got, err := parseNote(n.String())
		if err != nil || got != n {
			t.Errorf("%v was read as %v, %v", n, got, err)
		}
	}
	for _, text := range []string{"", "1", "a b", "2 1", "-1 3", "1 2 3", "1 2 rewritten x", "1 99999999999999999999"} {
		if _, err := parseNote(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	// A size read after a cut: the gap ends where the file does.
	if diff := cmp.Diff(Info{Size: 5, Gap: &[2]int64{3, 5}, Rewritten: true}, note{from: 3, to: 9}.info(5)); diff != "" {
		t.Error(diff)
	}
}

func TestStart(t *testing.T) {
	gid := os.Getegid()
	if os.Geteuid() == 0 {
		gid = 65532
	}
	capper := makeCapper(t)
	dir := filepath.Join(t.TempDir(), "task")
	stdout, stderr, err := capper.Start(dir, gid, false, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	defer stderr.Close()
	for path, mode := range map[string]fs.FileMode{
		dir: fs.ModeDir | 0o750, filepath.Join(dir, Stdout): 0o642, filepath.Join(dir, Stderr): 0o642,
	} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		if info.Mode() != mode || int(stat.Uid) != os.Geteuid() || int(stat.Gid) != gid || stat.Blocks > 8 {
			t.Errorf("%s: %v %d:%d, %d blocks", path, info.Mode(), stat.Uid, stat.Gid, stat.Blocks)
		}
	}
	shell(t, stdout, stderr, "echo 1; echo 2 >&2; echo 3")
	for name, size := range map[string]int64{Stdout: 4, Stderr: 2} {
		if info, err := Stat(dir, name); err != nil || info.Size != size {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
	// A second attempt appends.
	capper.forget(dir)
	again, again2, err := capper.Start(dir, gid, false, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	defer again2.Close()
	shell(t, again, again2, "echo 4")
	if out, _, err := finish(capper, dir); err != nil || out.Bytes != 6 || out.Rewritten {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestOneFile: both results in one file, in the exact order of the writes.
func TestOneFile(t *testing.T) {
	capper := makeCapper(t)
	dir := filepath.Join(t.TempDir(), "task")
	stdout, stderr, err := capper.Start(dir, os.Getegid(), true, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	defer stderr.Close()
	shell(t, stdout, stderr, "echo 1; echo 2 >&2; echo 3")
	out, errOut, err := finish(capper, dir)
	if err != nil || out.Bytes != 6 || errOut != (deputy.Output{}) {
		t.Errorf("%+v, %+v, %v", out, errOut, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, Stdout)); err != nil || string(text) != "1\n2\n3\n" {
		t.Errorf("%q, %v", text, err)
	}
	if !capper.Tidy(dir, false, true, false) {
		t.Error("what it wrote is not said to be kept")
	}
}

func TestNamesAreTwo(t *testing.T) {
	dir, _, _ := makeTask(t, t.TempDir())
	for _, name := range []string{"", "secrets", "../task/stdout", "stdout.gap"} {
		if _, err := Open(dir, name); err == nil || !strings.Contains(err.Error(), "stdout and stderr") {
			t.Errorf("Open(%q): %v", name, err)
		}
		if _, err := Stat(dir, name); err == nil {
			t.Errorf("Stat(%q) was answered", name)
		}
	}
	// A link in the place of the file is not followed.
	if err := os.Remove(filepath.Join(dir, Stderr)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, Stderr)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Stderr); !errors.Is(err, syscall.ELOOP) {
		t.Error(err)
	}
}

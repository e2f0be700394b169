//go:build linux

package output

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"deputy"
)

const slack = 4 << 20 // bytes that disk use may be over the cap

// TestGigabyte is promise 6 with real processes: a task writes 1 GiB under a
// cap of 16 MiB.
func TestGigabyte(t *testing.T) {
	const total, limit = 1 << 30, 16 << 20
	for name, parent := range fileSystems(t) {
		t.Run(name, func(t *testing.T) {
			dir, stdout, _ := makeTask(t, parent)
			capper := makeCapper(t)
			if err := capper.Add(dir, limit); err != nil {
				t.Fatal(err)
			}
			cmd := writer(stdout, total, 64<<10)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stop := make(chan struct{})
			peak := make(chan int64)
			go func() { peak <- peakUse(filepath.Join(dir, Stdout), stop) }()
			err := cmd.Wait()
			ended := time.Now()
			close(stop)
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := finish(capper, dir)
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(ended)
			use := diskUse(t, filepath.Join(dir, Stdout))
			most := <-peak
			t.Logf("peak %d MiB, at the end %d KiB, %v after the task's end", most>>20, use>>10, took)
			if most > total/2 {
				t.Errorf("%d bytes on disk while it ran", most)
			}
			if use > limit+slack {
				t.Errorf("%d bytes on disk, %d over the cap", use, use-limit)
			}
			if took > time.Second {
				t.Errorf("capped %v after the end", took)
			}
			checkHeadAndTail(t, dir, total, limit, out)
		})
	}
}

// peakUse measures the disk use of path until stop is closed.
func peakUse(path string, stop <-chan struct{}) (peak int64) {
	for {
		var stat unix.Stat_t
		if unix.Lstat(path, &stat) == nil {
			peak = max(peak, stat.Blocks*512)
		}
		select {
		case <-stop:
			return peak
		case <-time.After(time.Millisecond):
		}
	}
}

// checkHeadAndTail holds what is left against what was written, and against
// what is told of it.
func checkHeadAndTail(t *testing.T, dir string, total, limit int64, out deputy.Output) {
	t.Helper()
	info, err := Stat(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(undigested(out), deputy.Output{Bytes: info.Size, Gap: info.Gap, Rewritten: info.Rewritten}); diff != "" {
		t.Errorf("the reader is told otherwise: %s", diff)
	}
	if out.Bytes != total || out.Gap == nil || out.Rewritten {
		t.Fatalf("%+v", out)
	}
	from, to := out.Gap[0], out.Gap[1]
	if from < limit/2 || total-to < limit/2 {
		t.Errorf("gap [%d,%d): less than half the cap is left at an end", from, to)
	}
	reader, err := Open(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	head := make([]byte, from+1)
	n, err := reader.ReadAt(head, 0)
	var gone *GapError
	if int64(n) != from || !errors.As(err, &gone) || *gone != (GapError{from, to}) {
		t.Fatalf("read %d of the head: %v", n, err)
	}
	checkPattern(t, head[:n], 0)
	for _, off := range []int64{from, from + 1, to - 1} {
		if n, err := reader.ReadAt(make([]byte, 10), off); n != 0 || !errors.As(err, &gone) || gone.To != to {
			t.Errorf("read %d bytes at %d in the gap: %v", n, off, err)
		}
	}
	tail := make([]byte, total-to+1)
	if n, err := reader.ReadAt(tail, to); int64(n) != total-to || err != io.EOF {
		t.Fatalf("read %d of the tail: %v", n, err)
	}
	checkPattern(t, tail[:total-to], to)
}

func TestCapSizes(t *testing.T) {
	block := int64(os.Getpagesize())
	for name, c := range map[string]struct {
		total, limit int64
		gap          *[2]int64
	}{
		"nothing":               {0, 1 << 20, nil},
		"a byte":                {1, 1 << 20, nil},
		"as much as the cap":    {1 << 20, 1 << 20, nil},
		"a byte more":           {1<<20 + 1, 1 << 20, nil}, // no whole block is over
		"a block more":          {1<<20 + block, 1 << 20, &[2]int64{1 << 19, 1<<19 + block}},
		"an odd cap":            {3 << 20, 1_000_001, &[2]int64{123 * block, (3<<20 - 500_001) / block * block}},
		"smaller than a block":  {10 * block, 1000, &[2]int64{block, 9 * block}},
		"no cap at all is left": {10 * block, 0, &[2]int64{block, 9 * block}},
		"small under a tiny":    {100, 10, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir, stdout, _ := makeTask(t, t.TempDir())
			capper := makeCapper(t)
			if err := capper.Add(dir, c.limit); err != nil {
				t.Fatal(err)
			}
			if err := writer(stdout, c.total, 64<<10).Run(); err != nil {
				t.Fatal(err)
			}
			out, errOut, err := finish(capper, dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(deputy.Output{Bytes: c.total, Gap: c.gap}, undigested(out)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(deputy.Output{}, errOut); diff != "" {
				t.Errorf("stderr: %s", diff)
			}
			if c.gap != nil {
				checkHeadAndTail(t, dir, c.total, c.limit, out)
			}
			if use := diskUse(t, filepath.Join(dir, Stdout)); use > c.limit+slack {
				t.Errorf("%d bytes on disk", use)
			}
		})
	}
}

// TestCapWhileRunning sees the cap held while the task lives, after pauses in
// which its file was only watched.
func TestCapWhileRunning(t *testing.T) {
	const limit = 1 << 20
	dir, stdout, _ := makeTask(t, t.TempDir())
	capper := makeCapper(t)
	if err := capper.Add(dir, limit); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, Stdout)
	for round := range int64(4) {
		quiet := func() bool {
			capper.mu.Lock()
			defer capper.mu.Unlock()
			return len(capper.due) == 0 && len(capper.armed) == 2
		}
		eventually(t, "both files are quiet and watched", quiet)
		if err := writer(stdout, 8<<20, 64<<10).Run(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the cap is held", func() bool {
			info, err := Stat(dir, Stdout)
			return err == nil && info.Size == (round+1)*8<<20 && diskUse(t, path) <= limit+slack
		})
	}
	out, _, err := finish(capper, dir)
	if err != nil || out.Bytes != 32<<20 || out.Gap == nil || out.Rewritten {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestIdleCostsNothing: a Capper of quiet tasks sleeps without a time-out.
func TestIdleCostsNothing(t *testing.T) {
	capper := makeCapper(t)
	parent := t.TempDir()
	before := descriptors(t)
	var dirs []string
	for i := range 100 {
		dir := filepath.Join(parent, string(rune('a'+i%26))+string(rune('a'+i/26)))
		stdout, stderr := makeFiles(t, dir, os.Getegid(), false)
		stdout.Close()
		stderr.Close()
		if err := capper.Add(dir, 1<<20); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	eventually(t, "nothing is due", func() bool {
		capper.mu.Lock()
		defer capper.mu.Unlock()
		return len(capper.due) == 0 && capper.wake.IsZero()
	})
	if n := watches(t, capper.notify); n != 200 {
		t.Errorf("%d files are watched", n)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are held for 100 tasks", after-before)
	}
	for _, dir := range dirs {
		if _, _, err := finish(capper, dir); err != nil {
			t.Fatal(err)
		}
	}
	if n := watches(t, capper.notify); n != 0 {
		t.Errorf("the kernel still watches %d files", n)
	}
	if len(capper.armed)+len(capper.due)+len(capper.tasks) != 0 {
		t.Errorf("finished tasks are remembered: %d armed, %d due, %d tasks", len(capper.armed), len(capper.due), len(capper.tasks))
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// watches counts the watches that the kernel keeps for n.
func watches(t *testing.T, n *notifier) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", n.fd))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "inotify wd:")
}

// TestTakenUpByTheNext: a Capper that was killed between telling a gap and
// punching it leaves the rest to its successor.
func TestTakenUpByTheNext(t *testing.T) {
	const total, limit = 8 << 20, 1 << 20
	dir, stdout, _ := makeTask(t, t.TempDir())
	if err := writer(stdout, total, 64<<10).Run(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, Stdout)
	if err := (note{from: limit / 2, to: 4 << 20}).write(path); err != nil {
		t.Fatal(err)
	}
	// The killed one may also have left half of the next note.
	if err := os.Symlink("1 2", path+newNoteSuffix); err != nil {
		t.Fatal(err)
	}
	capper := makeCapper(t)
	if err := capper.Add(dir, limit); err != nil {
		t.Fatal(err)
	}
	out, _, err := finish(capper, dir)
	if err != nil {
		t.Fatal(err)
	}
	checkHeadAndTail(t, dir, total, limit, out)
	if use := diskUse(t, path); use > limit+64<<10 {
		t.Errorf("%d bytes on disk: what the first one told was not punched", use)
	}
}

// TestCutBetweenMonitors: a file shorter than its told gap was cut while no
// Capper looked.
func TestCutBetweenMonitors(t *testing.T) {
	dir, stdout, _ := makeTask(t, t.TempDir())
	if err := (note{from: 1 << 19, to: 4 << 20}).write(filepath.Join(dir, Stdout)); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	capper := makeCapper(t)
	if err := capper.Add(dir, 1<<20); err != nil {
		t.Fatal(err)
	}
	out, _, err := finish(capper, dir)
	if diff := cmp.Diff(deputy.Output{Bytes: 3, Rewritten: true}, undigested(out)); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	// It stays told should the file grow again.
	if n, err := readNote(filepath.Join(dir, Stdout)); err != nil || !n.rewritten || n.from != n.to {
		t.Errorf("told: %v, %v", n, err)
	}
}

// TestWrittenBeforeWatched: a write between the last look and the watch, which
// fires nothing, keeps the file from being taken for quiet.
func TestWrittenBeforeWatched(t *testing.T) {
	dir, stdout, _ := makeTask(t, t.TempDir())
	capper := makeCapper(t)
	file, err := newCapped(filepath.Join(dir, Stdout), 1<<20, capper.seed)
	if err != nil {
		t.Fatal(err)
	}
	if quiet, err := capper.arm(file); err != nil || !quiet {
		t.Errorf("nothing written: %t, %v", quiet, err)
	}
	if _, err := stdout.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if quiet, err := capper.arm(file); err != nil || quiet {
		t.Errorf("written to: %t, %v", quiet, err)
	}
}

// TestRewritten: what a task does to its own file by opening it anew.
func TestRewritten(t *testing.T) {
	for name, script := range map[string]string{
		"cut by a redirection":            `echo first >/dev/stdout`,
		"cut to nothing":                  `: >/dev/stdout`,
		"cut and made as long again":      `: >/dev/stdout; head -c 200000 /dev/zero`,
		"overwritten in place":            `printf other 1<>/dev/stdout`,
		"overwritten at its end":          `printf other | dd of=/dev/stdout bs=1 seek=104086 conv=notrunc status=none`,
		"cut to its beginning":            `truncate -s 50000 /dev/stdout; head -c 200000 /dev/zero`,
		"cut and continued where it was":  `exec 3>>/dev/stdout; : >/dev/stdout; truncate -s 300000 /dev/stdout`,
		"cut far below and written again": `: >/dev/stdout; head -c 8000000 /dev/zero`,
	} {
		t.Run(name, func(t *testing.T) {
			const limit = 4 << 20
			dir, stdout, stderr := makeTask(t, t.TempDir())
			capper := makeCapper(t)
			if err := capper.Add(dir, limit); err != nil {
				t.Fatal(err)
			}
			if err := writer(stdout, 100_000, 1000).Run(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the capper has seen it", func() bool {
				capper.mu.Lock()
				file := capper.tasks[dir][0]
				capper.mu.Unlock()
				file.mu.Lock()
				defer file.mu.Unlock()
				return file.size == 100_000
			})
			shell(t, stdout, stderr, script)
			out, errOut, err := finish(capper, dir)
			if err != nil {
				t.Fatal(err)
			}
			info, err := Stat(dir, Stdout)
			if err != nil {
				t.Fatal(err)
			}
			if !out.Rewritten || !info.Rewritten || out.Bytes != info.Size {
				t.Errorf("%+v, and told to readers: %+v", out, info)
			}
			if errOut.Rewritten {
				t.Error("stderr was not touched")
			}
		})
	}
}

// TestCutBelowTheGap: no gap is told beyond the end of a file that was cut, and
// what is written there afterwards is shown.
func TestCutBelowTheGap(t *testing.T) {
	const limit = 1 << 20
	dir, stdout, stderr := makeTask(t, t.TempDir())
	capper := makeCapper(t)
	if err := capper.Add(dir, limit); err != nil {
		t.Fatal(err)
	}
	if err := writer(stdout, 8<<20, 64<<10).Run(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a gap", func() bool {
		info, err := Stat(dir, Stdout)
		return err == nil && info.Gap != nil
	})
	shell(t, stdout, stderr, `echo all anew >/dev/stdout`)
	out, _, err := finish(capper, dir)
	if diff := cmp.Diff(deputy.Output{Bytes: 9, Rewritten: true}, undigested(out)); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	reader, err := Open(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	text := make([]byte, 20)
	if n, err := reader.ReadAt(text, 0); string(text[:n]) != "all anew\n" || err != io.EOF {
		t.Errorf("%q, %v", text[:n], err)
	}
}

// TestWithoutHoles: on ramfs, which cannot punch, nothing is lost or told as
// lost, and it is said once.
func TestWithoutHoles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	parent := t.TempDir()
	if err := unix.Mount("ramfs", parent, "ramfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(parent, unix.MNT_DETACH) })
	warnings := make(chan error, 10)
	capper, err := NewCapper(func(err error) { warnings <- err })
	if err != nil {
		t.Fatal(err)
	}
	defer capper.Close()
	for _, name := range []string{"a", "b"} {
		dir := filepath.Join(parent, name)
		stdout, stderr := makeFiles(t, dir, 0, false)
		defer stdout.Close()
		defer stderr.Close()
		if err := capper.Add(dir, 1<<20); err != nil {
			t.Fatal(err)
		}
		if err := writer(stdout, 8<<20, 64<<10).Run(); err != nil {
			t.Fatal(err)
		}
		out, _, err := finish(capper, dir)
		if diff := cmp.Diff(deputy.Output{Bytes: 8 << 20}, undigested(out)); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
		info, err := Stat(dir, Stdout)
		if err != nil || info.Gap != nil {
			t.Errorf("told: %+v, %v", info, err)
		}
	}
	if err := <-warnings; !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("warned %v", err)
	}
	if len(warnings) != 0 {
		t.Errorf("warned again: %v", <-warnings)
	}
}

func TestFinishOfUnknown(t *testing.T) {
	capper := makeCapper(t)
	dir, stdout, _ := makeTask(t, t.TempDir())
	if out, errOut, err := finish(capper, filepath.Join(dir, "none")); err != nil || out != errOut || out.Bytes != 0 {
		t.Errorf("a task that has no files: %+v, %+v, %v", out, errOut, err)
	}
	stdout.WriteString("a line\n")
	if out, _, err := finish(capper, dir); err != nil || out.Bytes != 7 || out.SHA256 == "" {
		t.Errorf("a task that was never added: %+v, %v", out, err)
	}
	if err := capper.Add(dir, 1); err != nil {
		t.Fatal(err)
	}
	if err := capper.Add(dir, 1); err == nil {
		t.Error("no error for a task added twice")
	}
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := finish(capper, dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the output is gone: %v", err)
	}
}

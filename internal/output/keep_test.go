//go:build linux

package output

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"deputy"
)

// startTask begins a task under a cap, as the monitor does.
func startTask(t testing.TB, c *Capper, limit int64) (dir string, stdout, stderr *os.File) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "task")
	stdout, stderr, err := c.Start(dir, os.Getegid(), false, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdout.Close(); stderr.Close() })
	return dir, stdout, stderr
}

// keptBytes reads what is kept of stdout, without its gap.
func keptBytes(t testing.TB, dir string, out deputy.Output) []byte {
	t.Helper()
	reader, err := Open(dir, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var all []byte
	for _, part := range kept(out) {
		buf := make([]byte, part[1]-part[0])
		if n, err := reader.ReadAt(buf, part[0]); n < len(buf) {
			t.Fatalf("read %d of %d bytes at %d: %v", n, len(buf), part[0], err)
		}
		all = append(all, buf...)
	}
	return all
}

func hexSum(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}

// TestKept: whoever still has the file open or knows another name of it, of
// whatever size it is, changes nothing of what is kept and digested.
func TestKept(t *testing.T) {
	const limit = 8 << 20
	link := func(t *testing.T, dir string) *os.File {
		if err := os.Link(filepath.Join(dir, Stdout), filepath.Join(dir, "other")); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	held := func(flags int) func(*testing.T, string) *os.File {
		return func(t *testing.T, dir string) *os.File {
			file, err := os.OpenFile(filepath.Join(dir, Stdout), flags, 0)
			if err != nil {
				t.Fatal(err)
			}
			return file
		}
	}
	for name, other := range map[string]func(*testing.T, string) *os.File{
		"nobody":           func(*testing.T, string) *os.File { return nil },
		"another name":     link,
		"open to append":   held(os.O_WRONLY | os.O_APPEND),
		"open for writing": held(os.O_RDWR),
		"only named":       held(unix.O_PATH),
	} {
		for _, size := range []int64{6, smallFile + 1, 3 << 20, 20 << 20} {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				capper := makeCapper(t)
				dir, stdout, _ := startTask(t, capper, limit)
				if err := writePattern(stdout, size, 64<<10); err != nil {
					t.Fatal(err)
				}
				file := other(t, dir)
				stdout.Close()
				out, errOut, err := finish(capper, dir)
				if err != nil || out.Bytes != size || out.Rewritten || errOut != (deputy.Output{}) {
					t.Fatalf("%+v, %+v, %v", out, errOut, err)
				}
				evil(t, file, filepath.Join(dir, "other"))
				all := keptBytes(t, dir, out)
				if out.SHA256Of != "all" || out.SHA256 != hexSum(all) {
					t.Errorf("the digest of %s is %s, what is kept has another", out.SHA256Of, out.SHA256)
				}
				if size <= limit {
					checkPattern(t, all, 0)
				} else {
					checkHeadAndTail(t, dir, size, limit, out)
				}
				if again, err := Digest(dir, Stdout); err != nil || again.SHA256 != out.SHA256 || again.Bytes != size {
					t.Errorf("digested again: %+v, %v", again, err)
				}
				if st, err := measure(filepath.Join(dir, Stdout)); err != nil || st.mode&0o022 != 0 || st.names != 1 || st.allocated > limit+64<<10 {
					t.Errorf("%+v, %v", st, err)
				}
			})
		}
	}
}

// evil does what it can through a file that it held, and by another name.
func evil(t *testing.T, file *os.File, name string) {
	t.Helper()
	if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
		f.WriteString("evil")
		f.Close()
	}
	if file == nil {
		return
	}
	defer file.Close()
	if _, err := file.WriteString("evil"); err == nil {
		file.WriteAt([]byte("evil"), 0)
		file.Truncate(1)
	}
	// As another user: root could open anything.
	asUser(t, 65534, func() {
		if again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), os.O_WRONLY, 0); err == nil {
			again.WriteString("evil")
			again.Close()
		}
	})
}

// TestKeptAgain: a monitor that was killed behind the closing, and before the end
// was durable, closes again.
func TestKeptAgain(t *testing.T) {
	for _, size := range []int64{6, 3 << 20} {
		capper := makeCapper(t)
		dir, stdout, _ := startTask(t, capper, 8<<20)
		if err := writePattern(stdout, size, 64<<10); err != nil {
			t.Fatal(err)
		}
		stdout.Close()
		first, _, err := finish(capper, dir)
		if err != nil {
			t.Fatal(err)
		}
		// It was killed just before it deleted what it had replaced.
		if err := os.WriteFile(filepath.Join(dir, Stdout+newSuffix), []byte("old"), 0o642); err != nil {
			t.Fatal(err)
		}
		if err := capper.Add(dir, 8<<20); err != nil {
			t.Fatal(err)
		}
		second, _, err := finish(capper, dir)
		if err != nil || first != second || first.SHA256 == "" {
			t.Errorf("%+v, then %+v, %v", first, second, err)
		}
	}
}

// TestDigestOfEnds: of more than 64 MiB that are kept the first and last 32.
func TestDigestOfEnds(t *testing.T) {
	const size = digestAll + 100_000
	capper := makeCapper(t)
	dir, stdout, _ := startTask(t, capper, 1<<30)
	if err := writePattern(stdout, size, 1<<20); err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	out, _, err := finish(capper, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, digestAll)
	pattern(want[:digestEnd], 0)
	pattern(want[digestEnd:], size-digestEnd)
	if out.SHA256Of != "ends" || out.SHA256 != hexSum(want) {
		t.Errorf("%+v", out)
	}
}

func TestPartsOfEnds(t *testing.T) {
	parts := [][2]int64{{0, 10}, {20, 30}}
	for _, c := range []struct {
		n           int64
		first, last string
	}{
		{4, "[[0 4] [20 20]]", "[[10 10] [26 30]]"},
		{13, "[[0 10] [20 23]]", "[[7 10] [20 30]]"},
		{20, "[[0 10] [20 30]]", "[[0 10] [20 30]]"},
	} {
		if first, last := fmt.Sprint(firstOf(parts, c.n)), fmt.Sprint(lastOf(parts, c.n)); first != c.first || last != c.last {
			t.Errorf("%d of them: %s and %s", c.n, first, last)
		}
	}
}

// TestCutByShortTasks: a cut is seen though nobody looked before the end.
func TestCutByShortTasks(t *testing.T) {
	for name, c := range map[string]struct {
		script, text string
		cut          bool
	}{
		"nothing":                {":", "", false},
		"appended":               {"echo 1; echo 2 >>/dev/stdout; echo 3", "1\n2\n3\n", false},
		"cut":                    {"echo one; echo 2 >/dev/stdout", "2\n", true},
		"cut, and more after it": {"echo one; echo 2 >/dev/stdout; echo 3", "2\n3\n", true},
		"cut to nothing":         {"echo one; : >/dev/stdout", "", true},
		"cut to as much":         {"echo one; echo two >/dev/stdout", "two\n", true},
		"to as much as a lead":   {"head -c 4096 /dev/zero | tr '\\0' x >/dev/stdout", string(bytes.Repeat([]byte("x"), 4096)), true},
		"to zeros":               {"head -c 9000 /dev/zero >/dev/stdout", string(make([]byte, 9000)), true},
	} {
		t.Run(name, func(t *testing.T) {
			capper := makeCapper(t)
			dir, stdout, stderr := startTask(t, capper, 8<<20)
			shell(t, stdout, stderr, c.script)
			out, errOut, err := finish(capper, dir)
			if err != nil || out.Rewritten != c.cut || errOut != (deputy.Output{}) || out.Bytes != int64(len(c.text)) {
				t.Errorf("%+v, %+v, %v", out, errOut, err)
			}
			text, err := os.ReadFile(filepath.Join(dir, Stdout))
			if c.text != "" && (err != nil || string(text) != c.text) {
				t.Errorf("kept is %.20q…, %v", text, err)
			}
			info, err := Stat(dir, Stdout)
			if err != nil || info.Rewritten != c.cut || info.Size != int64(len(c.text)) {
				t.Errorf("told to readers: %+v, %v", info, err)
			}
		})
	}
}

// TestBlocksBehindTheEnd: what is allocated there counts.
func TestBlocksBehindTheEnd(t *testing.T) {
	for name, parent := range fileSystems(t) {
		t.Run(name, func(t *testing.T) {
			capper := makeCapper(t)
			dir := filepath.Join(parent, "behind")
			stdout, stderr, err := capper.Start(dir, os.Getegid(), false, 64<<10)
			if err != nil {
				t.Fatal(err)
			}
			defer stdout.Close()
			defer stderr.Close()
			path := filepath.Join(dir, Stdout)
			for round := range 3 {
				if _, err := stdout.WriteString("a line\n"); err != nil {
					t.Fatal(err)
				}
				err := unix.Fallocate(int(stdout.Fd()), unix.FALLOC_FL_KEEP_SIZE, 1<<20, 256<<20)
				if err != nil {
					t.Fatal(err)
				}
				eventually(t, fmt.Sprintf("its blocks are given back, round %d", round), func() bool { return diskUse(t, path) < 8<<20 })
			}
			if err := unix.Fallocate(int(stdout.Fd()), unix.FALLOC_FL_KEEP_SIZE, 1<<20, 256<<20); err != nil {
				t.Fatal(err)
			}
			out, _, err := finish(capper, dir)
			if use := diskUse(t, path); err != nil || out.Bytes != 21 || use > 128<<10 {
				t.Errorf("%+v, %v; %d bytes on the disk", out, err, use)
			}
		})
	}
}

// TestTidy: empty outputs and folders are used again, or go.
func TestTidy(t *testing.T) {
	capper := makeCapper(t)
	parent := t.TempDir()
	for i := range 2*maxSpare + 10 {
		dir := filepath.Join(parent, fmt.Sprint("t", i))
		stdout, stderr, err := capper.Start(dir, os.Getegid(), i%2 == 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 {
			stderr.WriteString("x")
		}
		stdout.Close()
		stderr.Close()
		out, errOut, err := finish(capper, dir)
		if err != nil {
			t.Fatal(err)
		}
		if kept := capper.Tidy(dir, out.Bytes == 0, errOut.Bytes == 0, false); kept != (i%10 == 9) {
			t.Errorf("task %d: kept is %t", i, kept)
		}
	}
	kept, spare := 0, 0
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), sparePrefix) {
			spare++
			capper.SweepSpare(filepath.Join(parent, entry.Name()))
		} else if files, _ := os.ReadDir(filepath.Join(parent, entry.Name())); len(files) == 1 {
			kept++
		}
	}
	if kept != (2*maxSpare+10)/10 || spare != 1 || len(entries) != kept+spare {
		t.Errorf("%d folders: %d with an output, %d spare", len(entries), kept, spare)
	}
	other := makeCapper(t)
	for _, entry := range entries {
		other.SweepSpare(filepath.Join(parent, entry.Name()))
	}
	if left, _ := filepath.Glob(filepath.Join(parent, sparePrefix+"*")); len(left) > 0 || spare != 1 {
		t.Errorf("the next monitor leaves %v", left)
	}
	// One that holds something else is not renamed away.
	dir := filepath.Join(parent, "secret")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := capper.Start(dir, os.Getegid(), false, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	stderr.Close()
	capper.Abandon(dir)
	if _, err := os.Stat(filepath.Join(dir, "secrets")); err != nil {
		t.Error(err)
	}
}

// TestNoRoomToClose: where no copy can be made the file stays, and is digested
// as it was at the end.
func TestNoRoomToClose(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	parent := t.TempDir()
	if err := unix.Mount("tmpfs", parent, "tmpfs", 0, "size=256k,nr_inodes=4"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(parent, unix.MNT_DETACH) })
	warned := make(chan error, 10)
	capper, err := NewCapper(func(err error) { warned <- err })
	if err != nil {
		t.Fatal(err)
	}
	defer capper.Close()
	dir := filepath.Join(parent, "task")
	stdout, stderr, err := capper.Start(dir, os.Getegid(), false, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	defer stderr.Close()
	stdout.WriteString("a line\n")
	out, _, err := finish(capper, dir)
	if err != nil || out.Bytes != 7 || out.SHA256 != hexSum([]byte("a line\n")) {
		t.Errorf("%+v, %v", out, err)
	}
	if err := <-warned; !errors.Is(err, unix.ENOSPC) {
		t.Errorf("warned: %v", err)
	}
	if text := keptBytes(t, dir, out); string(text) != "a line\n" {
		t.Errorf("%q", text)
	}
	stdout.WriteString("evil")
	if now, err := Digest(dir, Stdout); err != nil || now.SHA256 == out.SHA256 {
		t.Errorf("a change cannot be seen: %+v, %v", now, err)
	}
}

// A file that was put aside is another task's only if nobody can write to it or read
// it by what an earlier one was given.
func TestWhatIsUsedAgainIsNobodyElses(t *testing.T) {
	for name, hold := range map[string]func(t *testing.T, dir string, stdout *os.File){
		"nobody":   func(*testing.T, string, *os.File) {},
		"a writer": func(t *testing.T, _ string, stdout *os.File) { dup(t, stdout) },
		"a reader": func(t *testing.T, dir string, _ *os.File) {
			file, err := os.Open(filepath.Join(dir, Stdout))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { file.Close() })
		},
		"a name": func(t *testing.T, dir string, _ *os.File) { must(t, os.Link(dir+"/stdout", dir+"-link")) },
		"a mode": func(t *testing.T, dir string, _ *os.File) { must(t, os.Chmod(dir+"/stdout", 0o666)) },
		"blocks": func(t *testing.T, _ string, stdout *os.File) {
			must(t, unix.Fallocate(int(stdout.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20))
		},
		"a symlink": func(t *testing.T, dir string, _ *os.File) {
			must(t, os.Remove(dir+"/stdout"))
			must(t, os.Symlink("/etc/passwd", dir+"/stdout"))
		},
		"a FIFO": func(t *testing.T, dir string, _ *os.File) {
			must(t, os.Remove(dir+"/stdout"))
			must(t, unix.Mkfifo(dir+"/stdout", 0o600))
		},
		"no file":    func(t *testing.T, dir string, _ *os.File) { must(t, os.Remove(dir+"/stdout")) },
		"other text": func(t *testing.T, _ string, stdout *os.File) { stdout.WriteString("x") },
	} {
		t.Run(name, func(t *testing.T) {
			capper := makeCapper(t)
			first, second := filepath.Join(t.TempDir(), "first"), ""
			stdout, stderr, err := capper.Start(first, os.Getegid(), false, 1<<20)
			must(t, err)
			before := inode(t, filepath.Join(first, Stdout))
			hold(t, first, stdout)
			stdout.Close()
			stderr.Close()
			_, _, _ = finish(capper, first)
			if capper.Tidy(first, true, true, false) {
				t.Fatal("it is kept")
			}
			second = filepath.Join(filepath.Dir(first), "second")
			stdout, stderr, err = capper.Start(second, os.Getegid(), false, 1<<20)
			must(t, err)
			if again := inode(t, filepath.Join(second, Stdout)) == before; again != (name == "nobody") {
				t.Errorf("it is used again: %t", again)
			}
			stdout.WriteString("text")
			stdout.Close()
			stderr.Close()
			out, _, err := finish(capper, second)
			if err != nil || out.Bytes != 4 || string(keptBytes(t, second, out)) != "text" {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func dup(t *testing.T, file *os.File) {
	fd, err := unix.Dup(int(file.Fd()))
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
}

// inode also sees to it that no other file is given its number meanwhile.
func inode(t *testing.T, path string) uint64 {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	var st unix.Stat_t
	must(t, unix.Fstat(fd, &st))
	return st.Ino
}

//go:build linux

package output

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
)

// TestMain lets the test binary be the task: with OUTPUT_TEST_WRITE="TOTAL CHUNK"
// it writes TOTAL bytes of the pattern to its stdout, CHUNK bytes a write.
func TestMain(m *testing.M) {
	if order := os.Getenv("OUTPUT_TEST_WRITE"); order != "" {
		var total int64
		var chunk int
		if _, err := fmt.Sscan(order, &total, &chunk); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if err := writePattern(os.Stdout, total, chunk); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// pattern fills p as the bytes from offset off on: each eight bytes tell their
// own offset, and none of them is ever all zero. It is no concern of the race
// detector, which would make a slow writer of it.
//
//go:norace
func pattern(p []byte, off int64) {
	const mark = 1<<63 | 1<<40
	var word [8]byte
	for i := 0; i < len(p); {
		at := off + int64(i)
		if at%8 == 0 && len(p)-i >= 8 {
			binary.BigEndian.PutUint64(p[i:], uint64(at/8)|mark)
			i += 8
			continue
		}
		binary.BigEndian.PutUint64(word[:], uint64(at/8)|mark)
		i += copy(p[i:], word[at%8:])
	}
}

// writePattern writes total bytes, chunk bytes a write.
func writePattern(w io.Writer, total int64, chunk int) error {
	buf := make([]byte, chunk)
	for off := int64(0); off < total; off += int64(chunk) {
		if left := total - off; left < int64(chunk) {
			buf = buf[:left]
		}
		pattern(buf, off)
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// checkPattern fails unless p is what was written at off.
func checkPattern(t *testing.T, p []byte, off int64) {
	t.Helper()
	want := make([]byte, len(p))
	pattern(want, off)
	if !bytes.Equal(p, want) {
		for i := range p {
			if p[i] != want[i] {
				t.Fatalf("byte %d is %#x, want %#x", off+int64(i), p[i], want[i])
			}
		}
	}
}

// writer is a process that will write total bytes of the pattern to file.
func writer(file *os.File, total int64, chunk int) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"OUTPUT_TEST_WRITE=" + strconv.FormatInt(total, 10) + " " + strconv.Itoa(chunk), "GORACE=atexit_sleep_ms=0"}
	cmd.Stdout, cmd.Stderr = file, os.Stderr
	return cmd
}

// shell runs a script with a task's stdout and stderr.
func shell(t *testing.T, stdout, stderr *os.File, script string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
}

// makeTask makes a task's directory below parent with both files open.
func makeTask(t testing.TB, parent string) (dir string, stdout, stderr *os.File) {
	t.Helper()
	dir = filepath.Join(parent, "task")
	stdout, stderr = makeFiles(t, dir, os.Getegid(), false)
	t.Cleanup(func() { stdout.Close(); stderr.Close() })
	return dir, stdout, stderr
}

func makeFiles(t testing.TB, dir string, gid int, oneFile bool) (stdout, stderr *os.File) {
	t.Helper()
	f := newFolders()
	made, _, err := f.make(dir, gid, oneFile)
	if err != nil {
		t.Fatal(err)
	}
	return made[0], made[1]
}

// finish is Capper.Finish, awaited.
func finish(c *Capper, dir string) (stdout, stderr deputy.Output, err error) {
	done := make(chan struct{})
	c.Finish(dir, 1<<20, func(o, e deputy.Output, failed error) {
		stdout, stderr, err = o, e, failed
		close(done)
	})
	<-done
	return stdout, stderr, err
}

// undigested is out without its digest.
func undigested(out deputy.Output) deputy.Output {
	out.SHA256, out.SHA256Of = "", ""
	return out
}

// running is the end of a task that has none.
func running() End { return End{} }

// makeCapper makes a Capper for which any warning is a failure.
func makeCapper(t testing.TB) *Capper {
	t.Helper()
	capper, err := NewCapper(func(err error) { t.Errorf("warned: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { capper.Close() })
	return capper
}

func makeWatcher(t testing.TB) *Watcher {
	t.Helper()
	watcher, err := NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { watcher.Close() })
	return watcher
}

// diskUse is how many bytes of disk the file takes.
func diskUse(t testing.TB, path string) int64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Blocks * 512
}

// eventually waits for what must come true soon.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// fileSystems are the working file system and a tmpfs.
func fileSystems(t *testing.T) map[string]string {
	t.Helper()
	dirs := map[string]string{"working directory": t.TempDir()}
	shm, err := os.MkdirTemp("/dev/shm", "deputy-output-")
	if errors.Is(err, syscall.ENOENT) {
		return dirs // a machine without /dev/shm has no tmpfs of ours to test on
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	dirs["tmpfs"] = shm
	return dirs
}

// asUser has do done by a thread of another user, if we are root.
func asUser(t testing.TB, uid int, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for _, call := range [][2]uintptr{{unix.SYS_SETGROUPS, 0}, {unix.SYS_SETGID, uintptr(uid)}, {unix.SYS_SETUID, uintptr(uid)}} {
			if _, _, errno := unix.RawSyscall(call[0], call[1], 0, 0); errno != 0 {
				t.Errorf("cannot become user %d: %v", uid, errno)
				return
			}
		}
		do()
	}()
	<-done
}

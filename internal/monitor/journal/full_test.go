//go:build linux

package journal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// disk mounts a small file system of a kind, for root alone.
func disk(t *testing.T, kind string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "disk")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m", "none", root)
	if kind != "tmpfs" {
		image := filepath.Join(dir, "image")
		if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 16<<20)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs."+kind, "-q", "-m", "0", image).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		command = exec.Command("mount", "-o", "loop", image, root)
	}
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return root
}

// hog takes all room of a disk, and whatever is freed, until it is stopped.
type hog struct {
	file *os.File
	quit chan struct{}
	all  sync.WaitGroup
}

func newHog(t *testing.T, root string) *hog {
	t.Helper()
	f, err := os.Create(filepath.Join(root, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hog{file: f, quit: make(chan struct{})}
	h.take(t, 1<<20)
	h.take(t, 4096)
	h.take(t, 1)
	h.all.Go(func() {
		for {
			select {
			case <-h.quit:
				return
			default:
				_, _ = h.file.Write(make([]byte, 4096))
			}
		}
	})
	return h
}

func (h *hog) take(t *testing.T, size int) {
	t.Helper()
	for block := make([]byte, size); ; {
		if _, err := h.file.Write(block); NoRoom(err) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// stop gives everything back.
func (h *hog) stop(t *testing.T) {
	t.Helper()
	close(h.quit)
	h.all.Wait()
	if err := errors.Join(h.file.Truncate(0), h.file.Sync(), h.file.Close()); err != nil {
		t.Error(err)
	}
}

// changes opens a journal whose changes of Err and Short can be waited for.
func changes(t *testing.T, dir string) (*Journal, func(what string, ok func() bool)) {
	t.Helper()
	notified := make(chan struct{}, 1)
	j, _ := mustOpen(t, dir, Options{Notify: func() {
		select {
		case notified <- struct{}{}:
		default:
		}
	}})
	return j, func(what string, ok func() bool) {
		t.Helper()
		for n := 0; !ok(); n++ {
			if n > 100_000 {
				t.Fatal("still not: ", what)
			}
			<-notified
		}
	}
}

// On a disk that others fill, and go on filling, the journal goes on in its
// reserve at once; when there is room again the reserve is made whole.
func TestReserveOnAFullDisk(t *testing.T) {
	for _, kind := range []string{"ext4", "tmpfs"} {
		t.Run(kind, func(t *testing.T) {
			const size = 1 << 20
			root := disk(t, kind)
			dir := filepath.Join(root, "journal")
			j, until := changes(t, dir)
			j.Reserve(size)
			until("the reserve is made", func() bool { return j.Bytes() >= size })
			if info, err := os.Stat(filepath.Join(dir, reserveName)); err != nil || info.Size() != 0 || j.Short() != nil {
				t.Fatal(info, err, j.Short())
			}
			appendN(t, j, 10)
			acked, err := Export(dir)
			if err != nil {
				t.Fatal(err)
			}
			h := newHog(t, root)
			until("a write fails", func() bool { j.Append(accepted(1)); return j.Err() != nil })
			if err := j.Err(); !NoRoom(err) {
				t.Fatal(err)
			}
			durable := j.Durable()
			if from, to, err := resume(j); err != nil || from != durable+1 || to < from {
				t.Fatal(from, to, err)
			}
			if j.Short() == nil {
				t.Error("the reserve is used, and not short")
			}
			appendN(t, j, size/2/800) // of some 700 bytes each
			j.Reserve(size)
			appendN(t, j, 1)
			until("it is tried", func() bool { return !errors.Is(j.Short(), errReserveUsed) })
			if err := j.Short(); !NoRoom(err) {
				t.Errorf("on a full disk the reserve is: %v", err)
			}
			mustVerify(t, dir, acked)

			mustClose(t, j) // and a start on the full disk
			j, until = changes(t, dir)
			j.Reserve(size)
			appendN(t, j, 10)
			until("it is tried", func() bool { return j.Short() != nil })

			h.stop(t)
			j.Reserve(size)
			until("the reserve is whole again", func() bool { return j.Short() == nil })
			appendN(t, j, 3000)
			mustVerify(t, dir, acked)
			if got := len(readAll(t, j, 1)); uint64(got) != j.Durable() {
				t.Errorf("%d lines of %d", got, j.Durable())
			}
		})
	}
}

// A start cuts a torn record and leaves the segment the room that it had.
func TestTornRecordInTheReserve(t *testing.T) {
	root := disk(t, "ext4")
	dir := filepath.Join(root, "journal")
	j, until := changes(t, dir)
	j.Reserve(1 << 20)
	until("the reserve is made", func() bool { return j.Bytes() >= 1<<20 })
	h := newHog(t, root)
	until("a write fails", func() bool { j.Append(accepted(1)); return j.Err() != nil })
	if _, _, err := resume(j); err != nil {
		t.Fatal(err)
	}
	appendN(t, j, 5)
	mustClose(t, j)
	list, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(list[len(list)-1].File, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString(`{"seq":`)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	j, r := mustOpen(t, dir, Options{})
	if len(r.Cuts) != 1 {
		t.Errorf("cuts: %v", r.Cuts)
	}
	appendN(t, j, 500)
	h.stop(t)
	mustVerify(t, dir)
}

// The reserve follows what is asked for, up and down.
func TestReserveChangesItsSize(t *testing.T) {
	dir := t.TempDir()
	j, until := changes(t, dir)
	for _, size := range []int64{1 << 20, 5 << 20, 4 << 20, 64 << 10} {
		j.Reserve(size)
		want := fmt.Sprintf("a reserve of %d", size)
		until(want, func() bool { held := j.reservedNow(); return held >= size && held <= max(5<<20, 4*size) })
	}
	until("it has shrunk", func() bool { return j.reservedNow() <= 4*64<<10 })
	if j.Short() != nil {
		t.Error(j.Short())
	}
}

func (j *Journal) reservedNow() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.reserved
}

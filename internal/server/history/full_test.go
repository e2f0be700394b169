//go:build linux

package history

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// On a full disk the index is in memory, and knows what lives from the start of
// any segment; the database that is there is found again when there is room.
func TestOpenOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "history.db")
	h, j := openTest(t, path), newJournal()
	fill(t, h, j, 50)
	next := h.Next()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	hog, err := os.Create(filepath.Join(dir, "hog"))
	for err == nil {
		_, err = hog.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	h = openTest(t, path)
	if !h.Memory() || h.Room() || h.Next() != 1 {
		t.Fatalf("in memory: %v, room: %v, next is %d", h.Memory(), h.Room(), h.Next())
	}
	other := newJournal()
	fill(t, h, other, 20)
	if list := all(t, h, Query{Limit: 10}, nil, nil); len(list) != 20 {
		t.Errorf("%d tasks in memory", len(list))
	}
	if err := errors.Join(h.Close(), hog.Truncate(0), hog.Close()); err != nil {
		t.Error(err)
	}
	h = openTest(t, path)
	if h.Memory() || h.Next() != next {
		t.Errorf("in memory: %v, next is %d, not %d", h.Memory(), h.Next(), next)
	}
}

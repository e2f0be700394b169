//go:build unix

package journal

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// A lock that another holds a copy of outlives its Journal, and is what the next
// one of the same folder goes on with; a lock of another folder is none.
func TestALockIsHandedOn(t *testing.T) {
	dir := t.TempDir()
	first, _, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(first.Lock().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	copied := os.NewFile(uintptr(fd), "lock")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "another deputyd holds it") {
		t.Errorf("the lock was not held: %v", err)
	}
	elsewhere, _, err := Open(t.TempDir(), Options{Lock: copied})
	if err != nil || elsewhere.Lock() == copied {
		t.Fatalf("with the lock of another folder: %v", err)
	}
	if _, _, err := Open(elsewhere.dir, Options{}); err == nil {
		t.Error("a folder was not locked")
	}
	second, _, err := Open(dir, Options{Lock: copied})
	if err != nil {
		t.Fatalf("with its own lock: %v", err)
	}
	if err := errors.Join(second.Close(), elsewhere.Close()); err != nil {
		t.Error(err)
	}
	third, _, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("after its end: %v", err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}

package discard

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy/test/rig"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What comes behind descriptors whose close waits for an hour is closed soon, and they are, too.
func TestWhatLingersHoldsNobodyUp(t *testing.T) {
	c := New()
	defer c.End()
	var hostile [20]int
	for i := range hostile {
		fd, err := rig.Lingering()
		must(t, err)
		hostile[i] = fd
	}
	read, write, err := os.Pipe()
	must(t, err)
	defer read.Close()
	last, err := unix.Dup(int(write.Fd()))
	must(t, err)
	write.Close()
	for _, fd := range hostile {
		c.Close(fd)
	}
	c.Close(last)
	must(t, read.SetReadDeadline(time.Now().Add(30*time.Second)))
	if n, err := read.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
		t.Errorf("what came behind is still open: %v", err)
	}
}

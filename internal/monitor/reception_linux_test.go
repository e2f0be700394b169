package monitor

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

// front is a reception at work, and the server's end of its door.
type front struct {
	*reception
	t    *testing.T
	path string
	door *wall.Door
}

func newFront(t *testing.T) *front {
	t.Helper()
	r, err := newReception(share{
		capacity: capacityOf(4096), each: func() int { return 256 },
		pause: func() time.Duration { return time.Millisecond }, operator: func(policy.Identity) bool { return false },
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &front{reception: r, t: t, path: filepath.Join(t.TempDir(), "socket")}
	socket, err := bindUnix(f.path, unix.SOCK_STREAM, 0o666, -1)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, err := pair(wall.DoorType)
	if err != nil {
		t.Fatal(err)
	}
	near, err := wall.NewDoor(ours)
	if err != nil {
		t.Fatal(err)
	}
	if f.door, err = wall.NewDoor(theirs); err != nil {
		t.Fatal(err)
	}
	if err := r.listen(int(socket.Fd()), false); err != nil {
		t.Fatal(err)
	}
	if err := r.open(near); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- r.run() }()
	t.Cleanup(func() {
		r.close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		near.Close()
		f.door.Close()
		socket.Close()
	})
	return f
}

// visit connects, and gives what the server is handed: it holds that, too.
func (f *front) visit() (peer net.Conn, held *os.File, number uint64) {
	f.t.Helper()
	peer, err := net.Dial("unix", f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	c, held, err := f.door.Receive()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { peer.Close(); held.Close() })
	return peer, held, c.Number
}

// fd is that of our duplicate; -1: it is closed.
func (f *front) fd(number uint64) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.byNumber[number]; c != nil {
		return c.fd
	}
	return -1
}

func (f *front) awaitGone(number uint64) {
	f.t.Helper()
	for end := time.Now().Add(10 * time.Second); f.fd(number) >= 0; runtime.Gosched() {
		if time.Now().After(end) {
			f.t.Fatal("a peer has gone, and the reception does not see it")
		}
	}
}

// The server holds the open file of a connection longer than the reception
// does. What happens to that file is news of nobody else, although the number
// of its descriptor is another's by then.
func TestTheEndOfAnOldConnectionIsNobodyElses(t *testing.T) {
	f := newFront(t)
	gone, held, first := f.visit()
	number := f.fd(first)
	gone.Close()
	f.awaitGone(first)

	// As when many come and go beside: the number is used again at once.
	_, _, second := f.visit()
	if f.fd(second) != number {
		t.Fatalf("the second connection has the descriptor %d, not %d: this test shows nothing", f.fd(second), number)
	}
	raw, err := held.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }) // as the server closes it
	held.Close()

	third, _, last := f.visit() // behind it in the kernel's list
	third.Close()
	f.awaitGone(last)
	if f.fd(second) < 0 {
		t.Error("a living connection was ended by the end of another")
	}
	if who, ok := f.identity(second); !ok || who.Caller != deputy.UIDCaller(uint32(os.Getuid())) {
		t.Errorf("its peer is %v, %v", who, ok)
	}
}

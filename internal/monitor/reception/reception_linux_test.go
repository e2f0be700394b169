package reception

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/wall"
)

// front is a reception at work, and the server's end of its door.
type front struct {
	*Reception
	t    *testing.T
	path string
	door *wall.Door
}

func newFront(t *testing.T) *front {
	t.Helper()
	r := New(nil)
	r.Adopt(Share{Connections: 256, Requests: 100, Span: time.Second, Operator: func(deputy.Caller) bool { return false }})
	if err := r.Prepare(); err != nil {
		t.Fatal(err)
	}
	r.self = 0 // the test's own connections count
	f := &front{Reception: r, t: t, path: filepath.Join(t.TempDir(), "socket")}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	socket, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Listen(int(socket.Fd()), false); err != nil {
		t.Fatal(err)
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, wall.DoorType|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "door"), os.NewFile(uintptr(ends[1]), "door")
	near, err := wall.NewDoor(ours)
	if err != nil {
		t.Fatal(err)
	}
	if f.door, err = wall.NewDoor(theirs); err != nil {
		t.Fatal(err)
	}
	if err := r.Open(near); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- r.Run() }()
	t.Cleanup(func() {
		r.Close()
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
	if who, ok := f.Identity(second); !ok || who.Caller != deputy.UIDCaller(uint32(os.Getuid())) {
		t.Errorf("its peer is %v, %v", who, ok)
	}
}

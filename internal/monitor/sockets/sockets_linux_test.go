package sockets

import (
	"io"
	"log"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/keeper"
)

// fakeKeeper knows what it holds by its name alone.
type fakeKeeper struct{ holds, dropped []string }

func (k *fakeKeeper) Hold(name string, _ *os.File) error {
	k.holds = append(k.holds, name)
	return nil
}

func (k *fakeKeeper) Drop(name string) error {
	k.dropped = append(k.dropped, name)
	return nil
}

// listening knows the descriptors of sockets that are listened on, and how each speaks.
type listening map[int]bool

func (l listening) Listen(fd int, line bool) error { l[fd] = line; return nil }
func (l listening) Ignore(fd int)                  { delete(l, fd) }

// opened are sockets, and who was told what of them.
type opened struct {
	*Sockets
	path, progress string
	keeper         *fakeKeeper
	listening      listening
	renewed        int // servers that were to be started anew
}

func openSome(t *testing.T, left Left) *opened {
	t.Helper()
	dir := t.TempDir()
	f := &opened{path: filepath.Join(dir, "socket"), progress: filepath.Join(dir, "progress"), keeper: &fakeKeeper{}, listening: listening{}}
	f.Sockets = New(Options{Listener: f.listening, Progress: f.progress, Renew: func() { f.renewed++ }, Log: log.New(io.Discard, "", 0)})
	if err := f.Open(Wanted{Path: f.path, Mode: 0o600, GID: -1}, left, f.keeper); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.listener.Close(); f.Progress().Close() })
	return f
}

func TestADeletedSocketIsMadeAgain(t *testing.T) {
	f := openSome(t, Left{})
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	f.listenAgain(f.path)
	peer, err := net.Dial("unix", f.path)
	if err != nil {
		t.Fatal(err)
	}
	peer.Close()
	if line, is := f.listening[int(f.listener.Fd())]; len(f.listening) != 1 || !is || line {
		t.Errorf("listened on is %v, and the socket is %d", f.listening, f.listener.Fd())
	}
	if want := []string{"unix:" + f.path, "notify", "unix:" + f.path}; !slices.Equal(f.keeper.holds, want) {
		t.Errorf("the keeper holds %q, want %q", f.keeper.holds, want)
	}
}

func TestWhereProgressIsToldAtANewSocketTheServerIsStartedAnew(t *testing.T) {
	f := openSome(t, Left{})
	old := f.Progress()
	defer old.Close()
	if err := os.Remove(f.progress); err != nil {
		t.Fatal(err)
	}
	f.listenAgain(f.progress)
	if f.Progress() == old || f.renewed != 1 {
		t.Errorf("the socket is another: %v; %d servers are to be started anew", f.Progress() != old, f.renewed)
	}
}

func TestWhoLeavesMakesNoSocketAgain(t *testing.T) {
	f := openSome(t, Left{})
	f.Leave()
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	f.listenAgain(f.path)
	if !isMissing(f.path) {
		t.Error("it was made again")
	}
}

func TestOnlyWhereNobodyListensASocketIsDead(t *testing.T) {
	f := openSome(t, Left{})
	if isDead(f.path) {
		t.Error("a socket is dead that is listened on")
	}
	if err := unix.Shutdown(int(f.listener.Fd()), unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	f.listener.Close()
	if !isDead(f.path) {
		t.Error("a socket lives that is closed")
	}
}

// Of what the configuration names sockets are made, of what it no longer names none stay.
func TestLineSocketsFollowTheConfiguration(t *testing.T) {
	f := openSome(t, Left{})
	one, two := filepath.Join(t.TempDir(), "new", "one"), filepath.Join(t.TempDir(), "two")
	for _, lines := range [][]string{{one, "127.0.0.1:9"}, {one, two}, {two}, nil} {
		f.Follow(Wanted{Path: f.path, Mode: 0o600, GID: -1, Lines: lines})
		count := 0
		for _, path := range []string{one, two} {
			there := !isMissing(path)
			if there != slices.Contains(lines, path) {
				t.Errorf("with %q there is a socket at %s: %v", lines, path, there)
			}
			if there {
				count++
			}
		}
		if len(f.listening) != 1+count {
			t.Errorf("with %q there are %v", lines, f.listening)
		}
	}
	if want := []string{"line:" + one, "line:" + two}; !slices.Equal(f.keeper.dropped, want) {
		t.Errorf("the keeper dropped %q, want %q", f.keeper.dropped, want)
	}
}

// What the service manager listens on is used where it is named, and else closed.
func TestInheritedSocketsAreTakenOrClosed(t *testing.T) {
	dir := t.TempDir()
	files := map[string]*os.File{}
	for _, name := range []string{"named", "other"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		if files[name], err = l.File(); err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	files["task"] = os.NewFile(uintptr(pidfd), "task")
	defer files["task"].Close()
	left := Left{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		left.Inherited = append(left.Inherited, keeper.Inherited{Name: name, Held: "inherited " + name, File: files[name]})
	}
	f := openSome(t, left)
	f.Follow(Wanted{Path: f.path, Mode: 0o600, GID: -1, Lines: []string{filepath.Join(dir, "named")}})
	f.CloseOthers()
	if f.lines[filepath.Join(dir, "named")] != files["named"] {
		t.Error("the socket of the service manager is not used")
	}
	if want := []string{"inherited named", "inherited other"}; !slices.Equal(f.keeper.dropped, want) {
		t.Errorf("the keeper dropped %q, want %q", f.keeper.dropped, want)
	}
	if _, err := files["task"].Stat(); err != nil {
		t.Error("what is no socket was closed")
	}
	files["named"].Close()
}

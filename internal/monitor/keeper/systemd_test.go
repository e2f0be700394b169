//go:build linux

package keeper_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the monitor tells the service manager goes through the keeper, unread and
// with its descriptor, to a path and to an abstract name.
func TestNotify(t *testing.T) {
	for _, kind := range []string{"path", "abstract"} {
		t.Run(kind, func(t *testing.T) {
			address := t.TempDir() + "/notify"
			if kind == "abstract" {
				address = fmt.Sprintf("@deputy-test-%d", os.Getpid())
			}
			manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer manager.Close()
			t.Setenv("NOTIFY_SOCKET", address)
			s := raise(t, nil)
			s.note(1, "ready", "")
			s.put("tell", "the file")
			_ = unix.Kill(s.note(1, "ready", "").Monitor, unix.SIGKILL) // the next one tells
			text, rights := make([]byte, 100), make([]byte, 100)
			_ = manager.SetReadDeadline(time.Now().Add(time.Minute))
			n, rn, _, _, err := manager.ReadMsgUnix(text, rights)
			if err != nil || string(text[:n]) != "READY=1\nSTATUS=of the play" {
				t.Fatalf("%q, %v", text[:n], err)
			}
			messages, err := unix.ParseSocketControlMessage(rights[:rn])
			if err != nil || len(messages) != 1 {
				t.Fatalf("%d control messages, %v", len(messages), err)
			}
			fds, err := unix.ParseUnixRights(&messages[0])
			if err != nil || len(fds) != 1 {
				t.Fatalf("%d descriptors, %v", len(fds), err)
			}
			f := os.NewFile(uintptr(fds[0]), "passed")
			defer f.Close()
			if passed, err := io.ReadAll(f); string(passed) != "the file" {
				t.Errorf("the descriptor's file holds %q, %v", passed, err)
			}
			s.fall()
		})
	}
}

// What the service manager passes to the keeper is told to every monitor until
// it is dropped, across an upgrade too, and to no environment.
func TestInherit(t *testing.T) {
	s := raise(t, nil)
	s.note(1, "ready", "")
	s.fall()
	s.put("upgrade", "")
	s.remove("door")
	s.extra = []*os.File{file(t, "first"), file(t, "second"), file(t, "third")}
	s.names = "keep:drop.this:two words"
	s.start()
	want := []string{"drop.this second", "keep first", "two words third"}
	for n := 2; n <= 4; n++ {
		s.note(n, "ready", "")
		var got []string
		for _, each := range readNotes(s.dir) {
			if each.What == "inherited" {
				got = append(got, each.Name)
			}
			if each.What == "environment" {
				t.Errorf("the monitor has %s", each.Name)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("monitor %d: all were told of %q, want %q", n, got, want)
		}
		want = append(want, "keep first", "two words third")
		slices.Sort(want)
		if n == 2 {
			s.upgrade(3)
		} else if n == 3 {
			_ = unix.Kill(s.note(3, "ready", "").Monitor, unix.SIGKILL)
		}
	}
	s.fall()
}

func file(t *testing.T, text string) *os.File {
	t.Helper()
	path := t.TempDir() + "/file"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

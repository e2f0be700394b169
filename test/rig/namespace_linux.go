package rig

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Range is numbers that a user may take in a user namespace, as a line of
// /etc/subuid gives them (subuid(5)).
type Range struct{ Owner, First, Number int }

// DialInNamespace connects as a process of the owner's does that has become the
// n-th user of the range in a user namespace, with the supplementary groups that
// the owner has: there newuidmap(1) and newgidmap(1) let anybody do that.
func DialInNamespace(t testing.TB, socket string, of Range, n int, groups ...uint32) net.Conn {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	mappings := []syscall.SysProcIDMap{{ContainerID: 0, HostID: of.Owner, Size: 1}, {ContainerID: 1, HostID: of.First, Size: of.Number}}
	cmd := exec.Command(filepath.Join(Programs(t), "caller"), "pass", socket, "1")
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: mappings, GidMappings: mappings,
		Credential: &syscall.Credential{Uid: uint32(n + 1), Gid: uint32(n + 1), NoSetGroups: true},
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: a child has the groups of the thread that makes it
		if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0); errno != 0 {
			done <- errno
			return
		}
		done <- cmd.Run()
	}()
	err = <-done
	theirs.Close()
	if err != nil {
		t.Fatalf("cannot connect from a user namespace: %v", err)
	}
	conn, err := receive(ours)
	if err != nil {
		t.Fatalf("cannot take over a connection: %v", err)
	}
	return conn
}

// receive takes the connection that came over a socket.
func receive(from *os.File) (net.Conn, error) {
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(from.Fd()), make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("%d messages came: %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fds[0]), "connection")
	defer file.Close()
	return net.FileConn(file)
}

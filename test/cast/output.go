//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// assault tries on its own stdout what a task may not, with dir to write to, and
// says what worked.
func assault(dir string) {
	path, err := os.Readlink("/proc/self/fd/1")
	check(err)
	set := func(cmd, arg int) error {
		_, err := unix.FcntlInt(1, cmd, arg)
		return err
	}
	open := func(flags int) error {
		fd, err := unix.Open("/proc/self/fd/1", flags, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	for _, act := range []struct {
		name string
		err  error
	}{
		{"chmod", unix.Fchmod(1, 0)},
		{"chown", unix.Fchown(1, os.Getuid(), os.Getgid())},
		{"write lease", set(unix.F_SETLEASE, unix.F_WRLCK)},
		{"read lease", set(unix.F_SETLEASE, unix.F_RDLCK)},
		{"read", open(unix.O_RDONLY)},
		{"read and write", open(unix.O_RDWR)},
		{"link", unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/1", unix.AT_FDCWD, filepath.Join(dir, "link"), unix.AT_SYMLINK_FOLLOW)},
		{"link of a descriptor", unix.Linkat(1, "", unix.AT_FDCWD, filepath.Join(dir, "link"), unix.AT_EMPTY_PATH)},
		{"open by its name", func() error { _, err := os.OpenFile(path, os.O_WRONLY, 0); return err }()},
		{"unlink", os.Remove(path)},
		{"list", func() error { _, err := os.ReadDir(filepath.Dir(path)); return err }()},
	} {
		if act.err == nil {
			fmt.Println(act.name)
		}
	}
}

// pass writes a line to stdout, and hands it over, under a lease if it is granted
// one: as it is, and as a descriptor that only names it.
func pass(socket string) {
	fmt.Println("kept")
	named, err := unix.Open("/proc/self/fd/1", unix.O_PATH, 0)
	check(err)
	_, _ = unix.FcntlInt(1, unix.F_SETLEASE, unix.F_WRLCK)
	c, err := net.Dial("unix", socket)
	check(err)
	_, _, err = c.(*net.UnixConn).WriteMsgUnix([]byte("x"), unix.UnixRights(1, named), nil)
	check(err)
	_, err = io.ReadAll(c) // until the other has them
	check(err)
}

// accomplice takes what pass hands over and does, at each line of its stdin, what
// it can to change it. It says what worked.
func accomplice(socket string) {
	l, err := net.Listen("unix", socket)
	check(err)
	check(os.Chmod(socket, 0o777))
	fmt.Println("ready")
	c, err := l.Accept()
	check(err)
	oob := make([]byte, 256)
	_, n, _, _, err := c.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), oob)
	check(err)
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	check(err)
	fds, err := unix.ParseUnixRights(&messages[0])
	check(err)
	c.Close()
	fmt.Println("taken")
	for {
		if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
			return
		}
		written := 0
		if _, err := unix.Write(fds[0], []byte("evil\n")); err == nil {
			written++
		}
		_ = unix.Ftruncate(fds[0], 1)
		if f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fds[1]), os.O_WRONLY, 0); err == nil {
			f.WriteString("evil\n")
			f.Close()
			written++
		}
		fmt.Println("tried", written)
	}
}

// preallocate has blocks allocated behind the end of its stdout until it is
// stopped.
func preallocate(bytes int) {
	fmt.Println("ready")
	for {
		check(unix.Fallocate(1, unix.FALLOC_FL_KEEP_SIZE, 1<<20, int64(bytes)))
		time.Sleep(10 * time.Millisecond)
	}
}

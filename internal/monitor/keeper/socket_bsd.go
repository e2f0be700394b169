//go:build darwin || freebsd

package keeper

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxFrame is the longest frame, in bytes.
const maxFrame = 64 << 10

// headSize is that of a frame's length before its text: macOS has no
// SOCK_SEQPACKET, so the boundaries of messages are ours to keep.
const headSize = 4

// socketpair makes a connected pair. The locks are those of a descriptor that
// cannot be made close-on-exec at once, see syscall.ForkLock.
func socketpair() (pair [2]int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); err != nil {
		return pair, err
	}
	unix.CloseOnExec(pair[0])
	unix.CloseOnExec(pair[1])
	return pair, nil
}

// send writes one frame whole: the socket blocks. The descriptor goes with its
// first byte.
func send(socket int, text string, fd, _ int) error {
	text = text[:min(len(text), maxFrame)]
	frame := append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	for len(frame) > 0 {
		n, err := unix.SendmsgN(socket, frame, rights, nil, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		frame, rights = frame[n:], nil
	}
	return nil
}

// receive waits for one frame; ok is false at the other's end.
func receive(socket int, buf []byte) (f frame, ok bool) {
	var head [headSize]byte
	f.fd = -1
	if f.take(socket, head[:]) != nil {
		return frame{fd: -1}, false
	}
	size := binary.LittleEndian.Uint32(head[:])
	if int64(size) > int64(len(buf)) || f.take(socket, buf[:size]) != nil {
		return frame{fd: -1}, false
	}
	f.text = string(buf[:size])
	return f, true
}

// take fills p, and keeps a descriptor that comes with it.
func (f *frame) take(socket int, p []byte) error {
	for len(p) > 0 {
		n, fd, err := receiveSome(socket, p)
		if err != nil {
			return err
		}
		if fd >= 0 {
			f.fd = fd
		}
		if n == 0 {
			return io.EOF
		}
		p = p[n:]
	}
	return nil
}

// receiveSome waits without the lock, and receives under it: a descriptor that
// arrives is not close-on-exec for a moment, in which nothing may be forked.
func receiveSome(socket int, p []byte) (n, fd int, err error) {
	for {
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(socket), Events: unix.POLLIN}}, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return 0, -1, err
		}
		var rights [64]byte
		syscall.ForkLock.RLock()
		n, rn, _, _, err := unix.Recvmsg(socket, p, rights[:], unix.MSG_DONTWAIT)
		fd := receivedFD(rights[:max(rn, 0)])
		if fd >= 0 {
			unix.CloseOnExec(fd)
		}
		syscall.ForkLock.RUnlock()
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		return n, fd, err
	}
}

// monitorAttributes give a monitor a process group of its own: a Ctrl-C at the
// terminal reaches it once, through us.
func monitorAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// carrier makes the file of what lives through execute.
func carrier() (fd int, err error) {
	f, err := os.CreateTemp("", "deputy-keeper-")
	if err != nil {
		return -1, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return -1, err
	}
	return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
}

// inherit does nothing: no service manager here passes descriptors in this way.
func (k *keeper) inherit() {}

// relay does nothing: no service manager here listens.
func (k *keeper) relay(string, int) {}

// becomeSubreaper does nothing: there are no subreapers here. The tasks of a
// monitor that died go to the system's first process, and how they end is not
// known to us.
func becomeSubreaper() error { return nil }

// exiting is asked of nobody.
func exiting(int) bool { return false }

// endedChild gives nobody: the monitor is our only child.
func endedChild() int { return 0 }

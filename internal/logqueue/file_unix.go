//go:build unix

package logqueue

import (
	"errors"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// SurvivePipes has this process live on when it writes to a pipe that nobody can
// read any more: by default that ends a program whose stdout or stderr it is. The
// signal is taken, not ignored: an ignored one would stay so in every process that
// is started.
func SurvivePipes() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }

// writerOf writes to the descriptor itself. Whether it blocks is another's to say,
// for the open file is shared: where it does not, poll waits.
func writerOf(f *os.File) func([]byte) (int, error) {
	return func(p []byte) (n int, err error) {
		raw, err := f.SyscallConn()
		if err != nil {
			return 0, err
		}
		if failed := raw.Control(func(fd uintptr) { n, err = writeAll(int(fd), p) }); failed != nil {
			return n, failed
		}
		return n, err
	}
}

func writeAll(fd int, p []byte) (written int, err error) {
	for written < len(p) {
		n, err := unix.Write(fd, p[written:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			// Whatever comes of it the next write shows.
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		case err != nil:
			return written, err
		case n == 0:
			return written, io.ErrShortWrite
		default:
			written += n
		}
	}
	return written, nil
}

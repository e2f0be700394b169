package ledger

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// toSyslog sends one message as syslog(3) does, and never waits: a log that is
// stuck must not hold up the loop.
func toSyslog(path, text string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	message := fmt.Sprintf("<%d>%s deputyd[%d]: %s", authNotice, time.Now().Format(time.Stamp), os.Getpid(), text)
	if err := unix.Sendto(fd, []byte(message), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: path}); err != nil {
		return &os.PathError{Op: "send to", Path: path, Err: err}
	}
	return nil
}

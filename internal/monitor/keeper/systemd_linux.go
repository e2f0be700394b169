package keeper

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// inherit holds the descriptors that the service manager passes to the process
// that it starts: listening sockets, and what was in its store (sd_listen_fds(3)).
// No monitor is told of them by its environment.
func (k *keeper) inherit() {
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	ours := os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid())
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		_ = os.Unsetenv(name)
	}
	for i := 0; ours && i < n; i++ {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		unix.CloseOnExec(3 + i)
		k.held[fmt.Sprintf("%s%d %s", inheritedName, i, name)] = 3 + i
	}
}

// relay passes a datagram of the monitor on to the service manager, which
// listens to its own child alone, unread and with its descriptor (sd_notify(3)).
// A manager that does not read is waited for, for a second and once: there are
// others who wait for us.
func (k *keeper) relay(text string, fd int) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(socket)
		_ = unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 1})
		var rights []byte
		if fd >= 0 {
			rights = unix.UnixRights(fd)
		}
		flags := unix.MSG_NOSIGNAL
		if k.mute {
			flags |= unix.MSG_DONTWAIT
		}
		err = unix.Sendmsg(socket, []byte(text), rights, &unix.SockaddrUnix{Name: path}, flags) // a leading '@' is an abstract name's
	}
	if err != nil && !k.mute {
		fmt.Fprintf(k.stderr, "deputyd: cannot tell the service manager at %s how we are: %v\n", path, err)
	}
	k.mute = err != nil
}

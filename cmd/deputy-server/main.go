// Deputy-server is the unprivileged program of deputy: it answers clients and
// keeps the history. The monitor starts it, with the sockets of the wall as
// descriptors 3 (messages), 4 (connections) and 5 (progress of tasks).
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/seccomp"
	"deputy/internal/server"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("program", "deputy-server")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], log); err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, log *slog.Logger) error {
	if len(args) == 1 && args[0] == "--version" {
		fmt.Println("deputy-server " + deputy.Version)
		return nil
	}
	if len(args) > 0 {
		return fmt.Errorf("cannot use %q: deputy-server takes no arguments; it is started by deputyd", args[0])
	}
	sockets, err := inherited()
	if err != nil {
		return err
	}
	// Before anything is read: from here on this process executes nothing. Where
	// that cannot be had the monitor knows, which looks at us.
	_ = seccomp.Seal()
	return server.Run(ctx, sockets, log)
}

// inherited takes the sockets that the monitor has left open.
func inherited() (server.Sockets, error) {
	var files [3]*os.File
	for i, name := range []string{"wall", "door", "notify"} {
		fd := i + 3
		if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
			return server.Sockets{}, errors.New("cannot start alone: deputy-server is started by deputyd, with sockets as descriptors 3, 4 and 5; for a deputy of your own run: deputy up")
		}
		unix.CloseOnExec(fd)
		files[i] = os.NewFile(uintptr(fd), name)
	}
	return server.Sockets{Stream: files[0], Door: files[1], Notify: files[2]}, nil
}

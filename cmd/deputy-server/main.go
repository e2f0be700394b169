// Deputy-server is the unprivileged program of deputy: it answers clients and
// keeps the history. The monitor starts it, with the sockets of the wall as
// descriptors 3 (messages), 4 (connections) and 5 (progress of tasks), on
// Windows with two pipes.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"deputy"
	"deputy/internal/logqueue"
	"deputy/internal/seccomp"
	"deputy/internal/server"
	"deputy/internal/wall"
)

func main() {
	logqueue.SurvivePipes()
	say := logqueue.New(os.Stderr, func(w io.Writer, lost uint64) {
		newLogger(w).Warn(fmt.Sprintf("%d lines were lost: the log could not be written", lost))
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], server.Log{Logger: newLogger(say), Lost: say.Lost})
	if err != nil {
		newLogger(say).Error(err.Error())
	}
	say.Flush(logqueue.LastWords)
	if err != nil {
		os.Exit(1)
	}
}

func newLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, nil)).With("program", "deputy-server")
}

func run(ctx context.Context, args []string, log server.Log) error {
	switch {
	case len(args) == 1 && args[0] == "--version":
		fmt.Println("deputy-server " + deputy.Version)
		return nil
	case len(args) == 1 && args[0] == "--probe": // what a monitor asks before an upgrade
		fmt.Printf("deputy-server %s, wall %d\n", deputy.Version, wall.Version)
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

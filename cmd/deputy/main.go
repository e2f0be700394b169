// Command deputy asks for declared privileged work, watches it and stops it.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { // a second signal ends deputy at once
		<-ctx.Done()
		cancel()
	}()
	a := fromProcess()
	err := run(ctx, a, os.Args[1:])
	os.Exit(a.report(err))
}

// app is what every verb works with: the process around it, and the flags that
// stand before or after any verb.
type app struct {
	in       io.Reader
	out, err io.Writer
	inTerm   bool // in is a terminal
	outTerm  bool // out is
	errTerm  bool
	width    int // columns of the terminal
	getenv   func(string) string
	uid      int
	sid      string // on Windows, instead of uid
	now      func() time.Time

	socket string // --socket
	json   bool   // --json
}

func fromProcess() *app {
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		inTerm:  term.IsTerminal(int(os.Stdin.Fd())),
		outTerm: term.IsTerminal(int(os.Stdout.Fd())),
		errTerm: term.IsTerminal(int(os.Stderr.Fd())),
		width:   80,
		getenv:  os.Getenv,
		uid:     os.Getuid(),
		sid:     ownSID(),
		now:     time.Now,
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			a.width = w
			break
		}
	}
	return a
}

// run does what the arguments say. The error carries the exit status; see report.
func run(ctx context.Context, a *app, args []string) error {
	root := newRoot(a)
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

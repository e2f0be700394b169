// Command deputy asks for declared privileged work, watches it and stops it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
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
	width    int        // columns of the terminal, where size does not tell
	size     func() int // columns of the terminal now; nil: nobody tells
	getenv   func(string) string
	uid      int
	sid      string // on Windows, instead of uid
	now      func() time.Time
	service  func() (state, result string) // of the system's service manager; nil: there is none

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
		service: systemdService,
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			a.size = func() int {
				w, _, _ := term.GetSize(int(f.Fd())) // 0 once it is gone
				return w
			}
			break
		}
	}
	return a
}

// columns is how wide the terminal is now: its window may be made narrower at any time.
func (a *app) columns() int {
	if a.size != nil {
		if w := a.size(); w > 0 {
			return w
		}
	}
	return a.width
}

// run does what the arguments say. The error carries the exit status; see report.
func run(ctx context.Context, a *app, args []string) error {
	out := &stdout{Writer: a.out}
	a.out = out
	root := newRoot(a)
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		plainUsages(root)
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		return fmt.Errorf("cannot write what there is to say: %w", out.err)
	}
	return err
}

// stdout keeps what went wrong with it: what could not be written was
// not said.
type stdout struct {
	io.Writer
	err error
}

func (o *stdout) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// Command deputy-portscan finds open TCP ports by connecting to them, and reads
// what answers there. It is the program of the module portscan, and useful alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

const usage = `Usage: deputy-portscan [--ports LIST] [--timeout-ms N] [--parallel N] HOST...

Connects to TCP ports and reads what answers. HOST is a name, an address, or a
network of at most 256 addresses. Nothing is sent to what answers.

  --ports LIST      numbers and ranges, like 22,80,8000-8100 (default 1-1024)
  --timeout-ms N    how long to wait for an answer, and again for a banner (default 1000)
  --parallel N      connections at a time (default 128)

Each open port is a line of JSON on stdout, as it is found; the last line is a
summary:

  {"host":"localhost","address":"127.0.0.1","port":22,"state":"open","banner":"SSH-2.0-…","latency_ms":0.2}
  {"summary":{"addresses":1,"ports":1,"probes":1,"open":1,"closed":0,"filtered":0,"errors":0,"unresolved":[],"complete":true,"took_ms":3}}

In a banner, whatever is not printable text stands as \xNN and a backslash as \\.
Progress goes to $DEPUTY_NOTIFY_SOCKET, as sd_notify(3) does it.

Exit status:
  0    all was scanned, whether or not anything is open
  1    a host could not be resolved, or a probe could not be made; the rest was scanned
  2    wrong arguments: nothing was scanned
  130  ended by SIGINT; 143 by SIGTERM. The summary of what was scanned is written
`

const (
	exitPart  = 1 // not all could be scanned
	exitUsage = 2
)

func main() {
	ctx, stopped := untilSignal()
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if signal := stopped(); signal != 0 {
		code = 128 + int(signal)
	}
	os.Exit(code)
}

// untilSignal gives a context that SIGINT or SIGTERM cancels. stopped says
// which of them did, 0 for none.
func untilSignal() (ctx context.Context, stopped func() syscall.Signal) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		got := (<-signals).(syscall.Signal)
		cancel(signalled(got))
	}()
	return ctx, func() syscall.Signal {
		var got signalled
		errors.As(context.Cause(ctx), &got)
		return syscall.Signal(got)
	}
}

// signalled is the cause of a context that a signal cancelled.
type signalled syscall.Signal

func (s signalled) Error() string { return "ended by " + syscall.Signal(s).String() }

// run is the whole program; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	options, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "deputy-portscan: %v\n", err)
		return exitUsage
	}
	started := time.Now()
	targets, unresolved, err := resolve(ctx, options.hosts)
	if err == nil {
		err = checkAmount(len(targets), len(options.ports))
	}
	if err != nil {
		fmt.Fprintf(stderr, "deputy-portscan: %v\n", err)
		return exitUsage
	}
	for host, err := range unresolved {
		fmt.Fprintf(stderr, "deputy-portscan: cannot resolve %s: %v\n", host, err)
	}
	scan := newScan(options, targets, newNotifier(os.Getenv("DEPUTY_NOTIFY_SOCKET")), stdout)
	defer scan.notify.close()
	summary := scan.run(ctx)
	summary.Unresolved = slices.AppendSeq(summary.Unresolved, maps.Keys(unresolved))
	slices.Sort(summary.Unresolved)
	summary.TookMS = time.Since(started).Milliseconds()
	if err := scan.write(map[string]Summary{"summary": summary}); err != nil {
		fmt.Fprintf(stderr, "deputy-portscan: cannot write the result: %v\n", err)
		return exitPart
	}
	if !summary.Complete || summary.Errors > 0 || len(unresolved) > 0 {
		return exitPart
	}
	return 0
}

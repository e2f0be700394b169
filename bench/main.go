//go:build linux

// Bench measures how fast deputy is, each figure beside what limits it: a bare
// fork, a bare disk, a plain HTTP server, all measured in the same run.
//
//	go run ./bench                       everything, at most six minutes
//	go run ./bench --only starts,join    some of it
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// wholeRun is how long all of it may take after the build; what is left then is
// not measured. Ending takes a minute at most.
const wholeRun = 5 * time.Minute

// measurement is one part of the bench. It starts the deputy that it needs.
type measurement struct {
	name  string
	about string
	run   func(ctx context.Context, b *bench) ([]row, error)
}

func measurements() []measurement {
	return []measurement{
		{"starts", "tasks accepted, started, ended and recorded; a static child that only exits", measureStarts},
		{"accept", "from a request to its answer, accepted and durable; one caller", measureAccept},
		{"join", "requests that join one live task; 64 callers on kept-alive connections", measureJoin},
		{"stop", "stop of a tree that used setsid and double forks, without a grace period", measureStop},
		{"output", "a task's writes, and the same program's to a plain file", measureOutput},
		{"memory", "proportional set size (PSS) of keeper, monitor and server together", measureMemory},
		{"history", "pages of the list, start-up and verification with 20,000 tasks", measureHistory},
	}
}

func main() {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "@") {
		os.Exit(actAs(os.Args[1], os.Args[2:]))
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

type options struct {
	only, json, dir, programs string
}

func parse(args []string) (o options, chosen []measurement, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.only, "only", "", "measure these alone, like `starts,join`")
	flags.StringVar(&o.json, "json", "", "also write the figures to `FILE`")
	flags.StringVar(&o.dir, "dir", "", "put states and files below `DIR`, which should be on a disk; default: bin of the checkout")
	flags.StringVar(&o.programs, "programs", "", "measure the programs in `DIR` instead of building them")
	if err := flags.Parse(args); err != nil {
		return o, nil, err
	}
	all := measurements()
	if o.only == "" {
		return o, all, nil
	}
	var names []string
	for _, m := range all {
		names = append(names, m.name)
	}
	wanted := strings.Split(o.only, ",")
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return o, nil, fmt.Errorf("cannot measure %q; there is: %s", name, strings.Join(names, ", "))
		}
	}
	return o, slices.DeleteFunc(all, func(m measurement) bool { return !slices.Contains(wanted, m.name) }), nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, chosen, err := parse(args)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	ctx, cancel := context.WithTimeoutCause(ctx, wholeRun, fmt.Errorf("%v are over", wholeRun))
	defer cancel()
	report := newReport(out)
	report.begin(b)
	var failed []error
	for _, m := range chosen {
		rows, err := m.run(ctx, b)
		report.add(m, rows)
		if err != nil {
			failed = append(failed, fmt.Errorf("cannot measure %s: %w", m.name, err))
		}
		if ctx.Err() != nil {
			failed = append(failed, context.Cause(ctx))
			break
		}
	}
	report.end()
	if o.json != "" {
		failed = append(failed, report.write(o.json))
	}
	return errors.Join(failed...)
}

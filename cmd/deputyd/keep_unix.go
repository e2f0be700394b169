//go:build unix

package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"deputy/internal/logqueue"
	"deputy/internal/monitor"
	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/process"
)

// systemFlags are those of this system alone.
func systemFlags(*flag.FlagSet) {}

func keep(program string, args []string, o options) int {
	say := openLog(os.Stderr)
	defer say.Flush(logqueue.LastWords)
	return keeper.Run(keeper.Program{
		Monitor: append([]string{program, "--role", "monitor"}, args...),
		Self:    append([]string{program}, args...), Env: []string{process.Cleaned()},
		Last: func() { say.Flush(logqueue.LastWords) }, Hangup: o.up,
	}, say)
}

// execute puts another program in our place.
func execute(link *keeper.Link, argv []string) error { return link.Execute(argv, os.Environ()) }

// orders are the signals that a monitor obeys.
func orders(*keeper.Link) <-chan os.Signal {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, monitor.UpgradeSignal)
	return signals
}

// hold is for systems where nobody else keeps what a stopped service leaves.
func hold([]string) int {
	fmt.Fprintln(os.Stderr, "deputyd: there is no such role here")
	return 2
}

//go:build unix

package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"deputy/internal/monitor/keeper"
)

// systemFlags are those of this system alone.
func systemFlags(*flag.FlagSet, *options) {}

func keep(argv []string, _ options) int { return keeper.Run(argv, os.Stderr) }

// orders are the signals that a monitor obeys.
func orders(*keeper.Link) <-chan os.Signal {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	return signals
}

// hold is for systems where nobody else keeps what a stopped service leaves.
func hold([]string) int {
	fmt.Fprintln(os.Stderr, "deputyd: there is no such role here")
	return 2
}

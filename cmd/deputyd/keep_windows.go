package main

import (
	"flag"
	"os"
	"slices"

	"deputy/internal/logqueue"
	"deputy/internal/monitor"
	"deputy/internal/monitor/keeper"
)

// asService is with what the service control manager starts the keeper.
const asService = "service"

// systemFlags are those of this system alone.
func systemFlags(flags *flag.FlagSet) { flags.Bool(asService, false, "") }

// keep runs the keeper: under the service control manager, or in a console.
func keep(program string, args []string, o options) int {
	argv := append([]string{program, "--role", "monitor"}, args...)
	if slices.Contains(args, "--"+asService) {
		return runService(argv, paths(program, o).State)
	}
	say := openLog(os.Stderr)
	defer say.Flush(logqueue.LastWords)
	return keeper.Run(argv, say)
}

// execute is for systems where a program can take another's place.
func execute(*keeper.Link, []string) error { return monitor.ErrUpgrade }

// orders are signals that the keeper passes on; others do not come here.
func orders(link *keeper.Link) <-chan os.Signal { return link.Orders() }

// hold is the role of a process that outlives the service.
func hold(args []string) int { return keeper.HolderMain(args) }

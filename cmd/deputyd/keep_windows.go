package main

import (
	"flag"
	"os"

	"deputy/internal/monitor"
	"deputy/internal/monitor/keeper"
)

// systemOptions are those of this system alone, and systemFlags read them.
type systemOptions struct{ service bool }

func systemFlags(flags *flag.FlagSet, o *options) {
	flags.BoolVar(&o.service, "service", false, "")
}

// keep runs the keeper: under the service control manager, or in a console.
func keep(program string, args []string, o options) int {
	argv := append([]string{program, "--role", "monitor"}, args...)
	if o.service {
		return runService(argv, paths(program, o).State)
	}
	return keeper.Run(argv, os.Stderr)
}

// execute is for systems where a program can take another's place.
func execute(*keeper.Link, []string) error { return monitor.ErrUpgrade }

// orders are signals that the keeper passes on; others do not come here.
func orders(link *keeper.Link) <-chan os.Signal { return link.Orders() }

// hold is the role of a process that outlives the service.
func hold(args []string) int { return keeper.HolderMain(args) }

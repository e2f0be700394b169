package main

import (
	"flag"
	"os"

	"deputy/internal/monitor/keeper"
)

// systemFlags are those of this system alone.
func systemFlags(flags *flag.FlagSet, o *options) {
	flags.BoolVar(&o.service, "service", false, "")
}

// keep runs the keeper: under the service control manager, or in a console.
func keep(argv []string, o options) int {
	if o.service {
		return runService(argv, paths(argv[0], o).State)
	}
	return keeper.Run(argv, os.Stderr)
}

// orders are signals that the keeper passes on; others do not come here.
func orders(link *keeper.Link) <-chan os.Signal { return link.Orders() }

// hold is the role of a process that outlives the service.
func hold(args []string) int { return keeper.HolderMain(args) }

//go:build !linux

package doctor

import (
	"context"
	"runtime"
)

// checks is all that is looked at, in this order. What the promises rest on
// beyond this is Linux's.
func checks() []check {
	return []check{
		{"daemon", serving, daemon, nil},
		{"policy", denied, policyFiles, (*Machine).declared},
		{"journal", proven, journalChain, (*Machine).kept},
		{"system", nothing, system, nil},
	}
}

func system(*Machine, context.Context) []Finding {
	return []Finding{{Level: Weaker, What: "this is " + runtime.GOOS + ", which has no cgroups: a process that leaves its group, or its job, can outlive its task",
		Remedy: "run deputy on Linux where every promise must be kept"}}
}

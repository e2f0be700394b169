// Package faults lets a real deputy live through a seeded random load and
// seeded random faults, records every request, every answer and every act of
// every task, and then holds deputy's promises against the record.
//
//	make faults SEED=7 CYCLES=500
//
// load asks, faults kills, record remembers, check judges: check knows nothing
// of how the record came about, and has tests of its own in which each promise
// is broken.
package faults

import (
	"os"
	"testing"

	"deputy/test/rig"
)

func TestMain(m *testing.M) {
	code := m.Run()
	rig.Clean()
	os.Exit(code)
}

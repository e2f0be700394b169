//go:build !linux

package monitor

import (
	"errors"
	"os"
)

// deathOf says how a server ended.
func deathOf(state *os.ProcessState) error { return errors.New(state.String()) }

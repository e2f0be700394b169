//go:build !linux

package confine

import (
	"errors"
	"os"
)

// Main is for Linux alone.
func Main([]string) int { return 1 }

// Prove is for Linux alone.
func Prove(int, Plan) error { return errors.New("cannot confine a server: only Linux can") }

// Possible says whether a server can be confined on this system.
func Possible() bool { return false }

// KilledByFilter is for Linux alone.
func KilledByFilter(*os.ProcessState) bool { return false }

// Missing names what this kernel has not got.
func Missing() string { return "" }

//go:build !linux

package confine

import "errors"

// Main is for Linux alone.
func Main([]string) int { return 1 }

// Prove is for Linux alone.
func Prove(int, Plan) error { return errors.New("cannot confine a server: only Linux can") }

// Missing names what this system has not got, for a sentence.
func Missing() string { return "confinement of any kind" }

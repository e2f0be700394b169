//go:build linux

package rig

import (
	"os"
	"strconv"
	"testing"
)

// Many is how often a test does what it does to see what comes of it: usually as it
// says, and DEPUTY_MANY times in a run that is to find more.
func Many(t testing.TB, usual int) int {
	t.Helper()
	text := os.Getenv("DEPUTY_MANY")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("DEPUTY_MANY=%q is no number", text)
	}
	return n
}

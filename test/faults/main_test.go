//go:build linux

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

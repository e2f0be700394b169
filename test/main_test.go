//go:build linux

package test

import (
	"os"
	"testing"

	"deputy/test/rig"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == holdArgument {
		hold(os.Args[2])
		return
	}
	code := m.Run()
	rig.Clean()
	os.Exit(code)
}

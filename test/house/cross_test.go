//go:build linux

package house_test

import (
	"os/exec"
	"strings"
	"testing"

	"deputy/test/rig"
)

// What is written for a system that the tests do not run on is compiled, the
// tests too, and looked at by vet. For the other kinds of machine the programs
// are built that have code of their own there; deputy-server has none, and its
// SQLite takes a minute.
func TestItCompilesForEverySystem(t *testing.T) {
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	for _, system := range systems {
		build := []string{"build", "-o", out, "./cmd/deputyd", "./cmd/deputy", "./modules/portscan"}
		if goos, _, _ := strings.Cut(system, "/"); goos != "linux" && system != "windows/arm64" {
			build = []string{"vet", "./..."}
		}
		cmd := exec.Command("go", build...)
		cmd.Dir = root
		cmd.Env = append(cmd.Environ(), target(system)...)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s for %s: %v\n%s", strings.Join(build, " "), system, err, text)
		}
	}
}

//go:build linux

package wine

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
	"time"
)

// machine is shared by the tests of this package.
var machine *Machine

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // each test skips itself
	}
	var err error
	if machine, err = Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := machine.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return m.Run()
}

func windows(t *testing.T) *Machine {
	t.Helper()
	if machine == nil {
		t.Skip("needs root, to make a Debian with Wine; make test as root runs it")
	}
	return machine
}

// TestPackages runs, on Windows, the tests of those packages that do there
// something of their own.
func TestPackages(t *testing.T) {
	m := windows(t)
	for _, pkg := range []string{"./internal/monitor/process", "./internal/monitor/process/hosttest"} {
		t.Run(path.Base(pkg), func(t *testing.T) {
			name := path.Base(pkg) + ".test.exe"
			m.BuildTest(t, pkg, name)
			code, out := m.Run(t, 3*time.Minute, `w:\`+name, "-test.v")
			if code != 0 || !strings.Contains(out, "\nPASS") || strings.Contains(out, "--- SKIP") {
				t.Errorf("exit code %d\n%s", code, tail(out, 200))
			}
		})
	}
}

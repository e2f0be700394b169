//go:build darwin || freebsd

package hosttest

import (
	"os"
	"path/filepath"
	"testing"

	"deputy"
	"deputy/internal/monitor/process"
)

func TestSessions(t *testing.T) {
	Run(t, System{
		Machine: func(t *testing.T) Machine { return newReal(t) },
		Exits:   []deputy.Exit{{Signal: "SIGKILL"}, {Signal: "SIGABRT"}},
		Killed:  deputy.Exit{Signal: "SIGKILL"},
		Forgets: true,
		Unborn: func(t *testing.T) map[string]Unborn {
			dir := t.TempDir()
			plain := filepath.Join(dir, "plain")
			if err := os.WriteFile(plain, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return map[string]Unborn{
				"missing":   {process.Spec{Argv: []string{dir + "/none"}}, process.ErrNotFound, "cannot start " + dir + "/none: no such file or directory"},
				"mode":      {process.Spec{Argv: []string{plain}}, process.ErrNotExecutable, "cannot start " + plain + ": permission denied"},
				"wrong dir": {process.Spec{Argv: []string{"/bin/ls"}, Dir: dir + "/none"}, process.ErrNotStarted, "cannot start /bin/ls: its directory " + dir + "/none: no such file or directory"},
			}
		},
	})
}

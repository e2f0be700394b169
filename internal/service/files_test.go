//go:build linux

package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deputy/test/rig"
)

// The unit names the programs where they lie, is known again, and one of somebody
// else's is left alone. What a manager makes of it, test/systemd shows.
func TestWriteFiles(t *testing.T) {
	dir := t.TempDir()
	unit := filepath.Join(dir, "units", "deputy.service")
	s := &Service{
		programs: Programs{Daemon: "/opt/deputy/sbin/deputyd", Command: "/opt/deputy/bin/deputy"},
		manager:  manager{files: []file{{"systemd/deputy.service", unit, 0o644, "# " + mark}}, vendor: []string{filepath.Join(dir, "vendor")}},
	}
	for range 2 { // again over its own
		var r Report
		if err := s.writeFiles(t.Context(), &r); err != nil || strings.Join(r.Done, "") != "wrote "+unit {
			t.Fatalf("%v, %q", err, r.Done)
		}
	}
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"\nExecStart=/opt/deputy/sbin/deputyd\n", "\nExecReload=/opt/deputy/bin/deputy reload\n", "\n# " + mark + "\n"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the unit has not %q:\n%s", line, text)
		}
	}
	for _, path := range []string{unit, s.manager.vendor[0]} {
		if err := os.WriteFile(path, []byte("somebody's\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		var r Report
		if err := s.writeFiles(t.Context(), &r); err != nil || strings.Join(r.Done, "") != "kept "+path+", which was there" {
			t.Errorf("%v, %q", err, r.Done)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A path that a manager would read in its own way, or a program that others can
// change, is refused before anything is done.
func TestProgramsAreRootsAlone(t *testing.T) {
	rig.NeedRoot(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "deputyd"), nil, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "deputyd"), 0o777); err != nil {
		t.Fatal(err)
	}
	for daemon, want := range map[string]string{
		dir + "/deputyd":          "cannot trust " + dir + "/deputyd",
		"/opt/with space/deputyd": "has characters that service managers read",
		"relative/deputyd":        "has characters",
	} {
		s := &Service{programs: Programs{Daemon: daemon, Command: "/bin/sh"}}
		if _, err := s.Install(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "install deputy's programs") {
			t.Errorf("%s: %v", daemon, err)
		}
	}
}

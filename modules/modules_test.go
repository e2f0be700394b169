//go:build linux

package modules

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deputy/internal/monitor/manifest"
)

// program makes an executable file at a path that needs quoting everywhere.
func program(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), `odd "{dir}" \`)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, dir string) *manifest.Policy {
	t.Helper()
	policy, warnings, err := manifest.Load(manifest.Options{
		ConfigFile: filepath.Join(dir, "deputy.toml"), ModuleDirs: []string{filepath.Join(dir, "modules.d")},
		AllowDir: filepath.Join(dir, "allow.d"), KeysDir: filepath.Join(dir, "keys"),
		Socket: filepath.Join(dir, "deputy.sock"), UID: uint32(os.Getuid()),
	})
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v\nwarnings: %q", err, warnings)
	}
	return policy
}

// TestWriteLoads: what is written is a configuration that deputy takes without
// a warning, with both modules and the one rule.
func TestWriteLoads(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	syscall.Umask(0o022) // for the folders of the test's own
	programs := Programs{Python: program(t, "python3"), Portscan: program(t, "deputy-portscan")}
	dir := filepath.Join(t.TempDir(), "example")
	syscall.Umask(0o077)
	notes, err := Write(dir, programs)
	if err != nil || len(notes) != 0 {
		t.Fatalf("%q, %v", notes, err)
	}
	policy := load(t, dir)
	var actions []string
	for _, module := range []string{"SCAN_MODULE", "portscan"} {
		if policy.Modules[module] == nil {
			t.Fatalf("no module %s", module)
		}
		for _, action := range []string{"scan", "start", "stop"} {
			if policy.Modules[module].Actions[action] != nil {
				actions = append(actions, module+"/"+action)
			}
		}
	}
	if diff := cmp.Diff([]string{"SCAN_MODULE/start", "SCAN_MODULE/stop", "portscan/scan"}, actions); diff != "" {
		t.Error(diff)
	}
	if len(policy.Rules) != 1 {
		t.Fatalf("%d rules", len(policy.Rules))
	}
	rule := policy.Rules[0]
	if diff := cmp.Diff([]string{"SCAN_MODULE/*", "portscan/*"}, rule.Actions); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]uint32{uint32(os.Getuid())}, rule.UIDs); diff != "" || !rule.Read || !rule.Stop {
		t.Errorf("%+v %s", rule, diff)
	}
	checkModes(t, dir)
}

func checkModes(t *testing.T, dir string) {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if want := map[bool]fs.FileMode{true: fs.ModeDir | 0o755, false: 0o644}[entry.IsDir()]; info.Mode() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if !entry.IsDir() {
			name, _ := filepath.Rel(dir, path)
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"allow.d/up.toml", "deputy.toml", "modules.d/portscan.toml", "modules.d/scan.toml", "programs/scan.py"}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff)
	}
}

// TestWriteAgain: a second time touches nothing, and mends what was changed.
func TestWriteAgain(t *testing.T) {
	programs := Programs{Python: program(t, "python3"), Portscan: program(t, "deputy-portscan")}
	dir := t.TempDir()
	inodes := func() string {
		var all strings.Builder
		for _, name := range []string{"deputy.toml", "modules.d/scan.toml", "programs/scan.py", "allow.d/up.toml"} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&all, name, info.Sys().(*syscall.Stat_t).Ino, info.ModTime().UnixNano())
		}
		return all.String()
	}
	if _, err := Write(dir, programs); err != nil {
		t.Fatal(err)
	}
	before := inodes()
	if _, err := Write(dir, programs); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, inodes()); diff != "" {
		t.Errorf("touched: %s", diff)
	}
	script := filepath.Join(dir, "programs", "scan.py")
	if err := os.WriteFile(script, []byte("changed"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, programs); err != nil {
		t.Fatal(err)
	}
	want, _ := shipped.ReadFile("scan/scan.py")
	if got, err := os.ReadFile(script); err != nil || string(got) != string(want) {
		t.Errorf("not mended: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "programs")); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestWriteLeavesOut: a module without its program is left out, also when it
// was there before, and is not in the rule.
func TestWriteLeavesOut(t *testing.T) {
	dir := t.TempDir()
	python, portscan := program(t, "python3"), program(t, "deputy-portscan")
	for _, c := range []struct {
		programs Programs
		modules  []string
		notes    []string
	}{
		{Programs{python, portscan}, []string{"SCAN_MODULE", "portscan"}, nil},
		{Programs{"", portscan}, []string{"portscan"}, []string{"module SCAN_MODULE is left out: its program python was not found"}},
		{Programs{python, "/nonexistent/p"}, []string{"SCAN_MODULE"}, []string{"module portscan is left out: its program portscan is not at /nonexistent/p"}},
		{Programs{python, "bin/p"}, []string{"SCAN_MODULE"}, []string{"module portscan is left out: its program portscan must be named by an absolute path, not bin/p"}},
		{Programs{}, nil, []string{
			"module SCAN_MODULE is left out: its program python was not found",
			"module portscan is left out: its program portscan was not found"}},
		{Programs{python, portscan}, []string{"SCAN_MODULE", "portscan"}, nil},
	} {
		notes, err := Write(dir, c.programs)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.notes, notes); diff != "" {
			t.Errorf("%+v: %s", c.programs, diff)
		}
		policy := load(t, dir)
		if len(policy.Modules) != len(c.modules) {
			t.Errorf("%+v: %d modules", c.programs, len(policy.Modules))
		}
		var allowed []string
		for _, rule := range policy.Rules {
			for _, action := range rule.Actions {
				allowed = append(allowed, strings.TrimSuffix(action, "/*"))
			}
		}
		if diff := cmp.Diff(c.modules, allowed); diff != "" {
			t.Errorf("%+v: %s", c.programs, diff)
		}
	}
}

func TestWriteFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(filepath.Join(file, "below"), Programs{}); err == nil || !strings.HasPrefix(err.Error(), "cannot write the example configuration: ") {
		t.Error(err)
	}
}

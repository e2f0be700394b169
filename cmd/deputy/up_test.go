package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installed gives a folder with the real deputy and a deputyd that tells how it
// was started.
func installed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "deputy"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	script := "#!/bin/sh\nprintf '%s\\n' $$ \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "deputyd"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestUpBecomesTheDaemon(t *testing.T) {
	bin := installed(t)
	tests := []struct {
		name string
		args string
		want string // HOME stands for the user's folder, RUN for XDG_RUNTIME_DIR
		none bool   // without XDG_RUNTIME_DIR
	}{
		{"nothing named", "", "--up --config HOME/.local/state/deputy/examples --state HOME/.local/state/deputy --socket RUN/deputy/deputy.sock", false},
		{"no runtime folder", "", "--up --config HOME/.local/state/deputy/examples --state HOME/.local/state/deputy --socket HOME/.local/state/deputy/deputy.sock", true},
		{"state", "--state s", "--up --config HOME/s/examples --state HOME/s --socket HOME/s/deputy.sock", false},
		{"all", "--state s --config c --socket x/y.sock", "--up --config HOME/c --state HOME/s --socket HOME/x/y.sock", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			home, runtime := t.TempDir(), t.TempDir()
			cmd := exec.Command(filepath.Join(bin, "deputy"), append([]string{"up"}, strings.Fields(test.args)...)...)
			cmd.Dir = home
			cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
			if !test.none {
				cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+runtime)
			}
			var errs strings.Builder
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, errs.String())
			}
			got := strings.NewReplacer("\n", " ", home, "HOME", runtime, "RUN").Replace(strings.TrimSpace(string(out)))
			if want := fmt.Sprintf("%d %s", cmd.Process.Pid, test.want); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if !strings.Contains(errs.String(), "until Ctrl-C, which stops every task") {
				t.Errorf("it said %s", errs.String())
			}
			checkModes(t, strings.Fields(string(out)), test.args)
		})
	}
}

// checkModes wants the state for its owner alone, and the examples only where
// no configuration was named.
func checkModes(t *testing.T, words []string, args string) {
	t.Helper()
	config, state := words[3], words[5]
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v", state, info, err)
	}
	_, err := os.Stat(filepath.Join(config, "allow.d", "up.toml"))
	if named := strings.Contains(args, "--config"); (err == nil) == named {
		t.Errorf("the examples are written: %v", err == nil)
	}
}

func TestUpWithoutADaemon(t *testing.T) {
	bin := installed(t)
	if err := os.Remove(filepath.Join(bin, "deputyd")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "deputy"), "up")
	cmd.Dir = bin
	cmd.Env = []string{"HOME=" + bin, "PATH=/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	want := "deputy: cannot find deputyd: it is neither beside " + bin + "/deputy nor in PATH; install all of deputy's programs together\n"
	if err == nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}

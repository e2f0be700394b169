//go:build linux

package test

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"deputy/test/rig"
)

// TestScripts plays what people type, with the programs as they are built. Each
// script is headed by the problem that it guards against.
func TestScripts(t *testing.T) {
	programs := rig.Programs(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", programs+":"+os.Getenv("PATH"))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("XDG_RUNTIME_DIR", filepath.Join(e.WorkDir, "run"))
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("ME", me.Username)
			e.Setenv("MYUID", me.Uid)
			e.Setenv("PROGRAMS", programs)
			for _, dir := range []string{"home", "run"} {
				if err := os.MkdirAll(filepath.Join(e.WorkDir, dir), 0o700); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scriptStatus,
			"until":  scriptUntil,
			"fill":   scriptFill,
		},
	})
}

// scriptStatus runs a command that must end with a certain exit status:
//
//	status 7 deputy run m exit code=7
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit status %d, want %d", code, want)
	}
}

// scriptUntil runs a command again and again until its stdout matches:
//
//	until 'running' deputy ps
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND…")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Dir, cmd.Env = ts.Getenv("WORK"), []string{}
		for _, name := range []string{"PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "DEPUTY_SOCKET"} {
			if value := ts.Getenv(name); value != "" {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
		}
		if path := filepath.Join(ts.Getenv("PROGRAMS"), args[1]); !strings.Contains(args[1], "/") {
			if _, err := os.Stat(path); err == nil {
				cmd.Path, cmd.Err = path, nil
			}
		}
		text, _ := cmd.CombinedOutput()
		if pattern.Match(text) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("not within 30 s: %s; last it was:\n%s", args[0], text)
		}
	}
}

// scriptFill replaces $NAME in files by the script's variables.
func scriptFill(ts *testscript.TestScript, neg bool, args []string) {
	var pairs []string
	for _, name := range []string{"ME", "MYUID", "WORK", "PROGRAMS"} {
		pairs = append(pairs, "$"+name, ts.Getenv(name))
	}
	for _, name := range args {
		path := ts.MkAbs(name)
		ts.Check(os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(ts.ReadFile(path))), 0o644))
	}
}

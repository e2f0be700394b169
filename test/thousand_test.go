//go:build linux

package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"deputy/test/rig"
)

// A task that says who it is, on both outputs, in its last moment, too.
const thousandModule = `
user = "root"
[allow]
users = ["uid:33"]
[action.say]
command = ["/bin/sh", "-c", 'echo "begin $1"; echo "error $1" >&2; echo "end $1"; exit "$2"', "sh", "{n}", "{code}"]
params.n = { type = "integer" }
params.code = { type = "integer" }
`

// Who runs actions as the web server's user gets each one's own exit code and whole
// output, although server and monitor are killed again and again meanwhile. It is
// 60 here; RUNS=1000 has more.
func TestRunsWhilePartsAreKilled(t *testing.T) {
	rig.NeedRoot(t)
	runs := 60
	if text := os.Getenv("RUNS"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	d := prepare(t, thousandModule, rig.Files{"deputy.toml": installed}, "--installed")
	d.Start()
	program := filepath.Join(rig.Programs(t), "deputy")
	var next, ended, wrong atomic.Int64
	one := func(n int64) {
		code := n % 5
		cmd := exec.Command(program, "run", "m", "say", fmt.Sprint("n=", n), fmt.Sprint("code=", code))
		cmd.Dir, cmd.Env = "/", []string{"DEPUTY_SOCKET=" + d.Socket, "PATH=/usr/bin:/bin"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 33, Gid: 33}}
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		_ = cmd.Run() // how it ended is looked at here
		want := fmt.Sprintf("begin %d\nend %d\n", n, n)
		if got := cmd.ProcessState.ExitCode(); int64(got) != code || out.String() != want || !strings.Contains(said.String(), fmt.Sprintf("error %d\n", n)) {
			wrong.Add(1)
			t.Errorf("run %d ended with %d, want %d; stdout %q; stderr %q", n, got, code, out.String(), said.String())
		}
		ended.Add(1)
	}
	var left atomic.Int64
	const callers = 8
	left.Store(callers)
	done := make(chan struct{})
	for range callers {
		go func() {
			for n := next.Add(1); n <= int64(runs) && wrong.Load() < 10; n = next.Add(1) {
				one(n)
			}
			if left.Add(-1) == 0 {
				close(done)
			}
		}()
	}
	kills := killInTurn(t, d, &ended, done)
	if kills < runs/20 {
		t.Errorf("parts were killed only %d times in %d runs", kills, runs)
	}
	t.Logf("%d runs, %d wrong, %d kills", ended.Load(), wrong.Load(), kills)
	d.Verify()
}

// killInTurn kills the server and the monitor by turns, each time that ten more
// runs have ended, until all have.
func killInTurn(t *testing.T, d *rig.Deputy, ended *atomic.Int64, done <-chan struct{}) (kills int) {
	t.Helper()
	parts := []string{"deputy-server", "--role monitor"}
	for seen := int64(0); ; {
		select {
		case <-done:
			return kills
		default:
		}
		if now := ended.Load(); now >= seen+10 {
			if pid := d.Part(parts[kills%2]); pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
				kills++
				seen = now
			}
		}
		rig.Pause()
	}
}

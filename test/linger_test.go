//go:build linux

package test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

const lingerModule = `
[allow]
users = ["uid:UID"]

[action.filter]
command = ["/bin/bash", "-c", "exec > >(awk '{{ print \"line\", $0 }}'); seq 1 2000"]

[action.dump]
command = ["/bin/bash", "-c", "seq 1 100000 > >(gzip > WORK/dump.gz)"]

[action.coprocess]
command = ["/bin/bash", "-c", "coproc awk '{{ print > \"WORK/coprocess\" }}'; seq 1 2000 >&\"${{COPROC[1]}}\""]

[action.behind]
command = ["/bin/bash", "-c", "( sleep 0.1; seq 1 2000 ) &"]

[action.daemon]
command = ["/bin/sh", "-c", "setsid sleep 1000 & echo started"]
linger  = "300ms"

[action.none]
command = ["/bin/sh", "-c", "setsid sleep 1000 & echo started"]
linger  = "0s"

[action.graceless]
command = ["/bin/sh", "-c", "setsid sleep 1000 & echo started"]
grace   = "0s"

[action.patient]
command = ["/bin/sh", "-c", "setsid sleep 1000 & echo started"]
linger  = "1h"
grace   = "1h"

[action.timed]
command = ["/bin/sh", "-c", "setsid sleep 1000 & echo started"]
linger  = "1h"
timeout = "1s"
`

// numbers are the lines 1 to n, each behind a prefix.
func numbers(prefix string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s%d\n", prefix, i+1)
	}
	return b.String()
}

// What a task's output runs through ends a moment after its first process: nothing of
// it is lost, and nothing was left behind.
func TestNoOutputIsLostAtTheEnd(t *testing.T) {
	everyProof(t, func(t *testing.T, args ...string) {
		d := begin(t, lingerModule, nil, args...)
		c := d.Self()
		for range 10 {
			for action, want := range map[string]string{"filter": numbers("line ", 2000), "behind": numbers("", 2000), "dump": "", "coprocess": ""} {
				task := c.Ended(c.Started("m/"+action, "{}").ID)
				if task.State != deputy.Succeeded || *task.Leftover != 0 {
					t.Errorf("%s: %s, %d left over: %s", action, task.State, *task.Leftover, reason(task))
				}
				if got := c.Stdout(task.ID); got != want {
					t.Errorf("%s wrote %d bytes, want %d", action, len(got), len(want))
				}
			}
			if got, want := unzipped(t, filepath.Join(d.Work, "dump.gz")), numbers("", 100000); got != want {
				t.Errorf("the dump has %d bytes, want %d", len(got), len(want))
			}
			if got, want := read(t, filepath.Join(d.Work, "coprocess")), numbers("", 2000); got != want {
				t.Errorf("the coprocess wrote %d bytes, want %d", len(got), len(want))
			}
		}
	})
}

// read reads a file, and removes it.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	return string(text)
}

func unzipped(t *testing.T, path string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(read(t, path)))
	if err != nil {
		t.Error(err)
		return ""
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// A daemon that an action started has its moment, too, and is then killed: whoever
// looks is told so.
func TestADaemonOfATaskIsEndedAndSaidSo(t *testing.T) {
	everyProof(t, func(t *testing.T, args ...string) {
		d := begin(t, lingerModule, nil, args...)
		c := d.Self()
		for action, atLeast := range map[string]time.Duration{"daemon": 300 * time.Millisecond, "none": 0, "graceless": 0} {
			task := c.Ended(c.Started("m/"+action, "{}").ID)
			none(t, task)
			took := task.Ended.Sub(task.Started.Time)
			if task.State != deputy.Succeeded || *task.Leftover != 1 || took < atLeast {
				t.Errorf("%s: %s after %v, %d left over", action, task.State, took, *task.Leftover)
			}
			if atLeast == 0 && took > 1900*time.Millisecond {
				t.Errorf("%s lingers for %v", action, took)
			}
		}
		cmd := d.Command("run", "m", "daemon")
		var said bytes.Buffer
		cmd.Stderr = &said
		if out, err := cmd.Output(); err != nil || string(out) != "started\n" || !strings.Contains(said.String(), "1 process outlived the first one and was killed") {
			t.Errorf("deputy run: %v, %q, it said %q", err, out, said.String())
		}
		rig.Eventually(t, 10*time.Second, "the log says so", func() bool {
			return strings.Contains(d.Log(), "m/daemon succeeded; 1 process outlived its first one and was killed")
		})
	})
}

// A stop, and the end of a task's time, wait for nobody who lingers; and the task has
// ended as its first process did.
func TestAStopDoesNotWaitForWhatLingers(t *testing.T) {
	everyProof(t, func(t *testing.T, args ...string) {
		d := begin(t, lingerModule, nil, args...)
		c := d.Self()
		first := func(id string) {
			t.Helper()
			ready(t, c, id)
			rig.Eventually(t, 30*time.Second, "the daemon alone lives", func() bool { return len(rig.Living(id)) == 1 })
		}
		task := c.Started("m/patient", "{}")
		first(task.ID)
		began := time.Now()
		task = c.Stop(task.ID, "")
		none(t, task)
		if took := time.Since(began); took > 20*time.Second || task.State != deputy.Succeeded || *task.Leftover != 1 {
			t.Errorf("%s after %v, %d left over", task.State, took, *task.Leftover)
		}
		task = c.Ended(c.Started("m/timed", "{}").ID)
		none(t, task)
		if task.State != deputy.Succeeded || *task.Leftover != 1 {
			t.Errorf("%s: %s, %d left over", task.State, reason(task), *task.Leftover)
		}
	})
}

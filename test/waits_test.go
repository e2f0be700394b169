//go:build linux

package test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"deputy"
	"deputy/test/rig"
)

// Who waits behind a lock is shown what for, over HTTP and in words, in lists too, and
// after a restart of the server and of the monitor.
func TestATaskThatWaitsSaysWhatFor(t *testing.T) {
	t.Parallel()
	d, g := lockDeputy(t)
	c, other := d.Self(), d.As(2)
	holder := c.Started("m/reload", "")
	running(t, c, holder.ID)
	waits := c.Call("m/reload", "").Tasks(t)[0]
	theirs := other.Call("m/reload", `{"key":"r"}`).Tasks(t)[0]
	if waits.State != deputy.Queued || waits.Waiting == nil {
		t.Fatalf("its answer shows it %s, waiting for %+v", waits.State, waits.Waiting)
	}
	look := func(when string) {
		t.Helper()
		w := c.Task(waits.ID).Waiting
		if w == nil || w.For != deputy.ForLock || w.Task == nil || *w.Task != holder.ID || !w.Since.Equal(waits.Created.Time) {
			t.Errorf("%s it waits for %+v, want the lock that %s holds", when, w, holder.ID)
		}
		if w := c.Task(holder.ID).Waiting; w != nil {
			t.Errorf("%s the holder waits for %+v", when, w)
		}
	}
	look("at first")
	if theirs.ID == waits.ID { // it has joined, and sees but the outline
		if theirs.Waiting != nil {
			t.Errorf("who joined is told %+v", theirs.Waiting)
		}
	}
	program := filepath.Join(rig.Programs(t), "deputy")
	out, err := exec.Command(program, "--socket", d.Socket, "ps").Output()
	if want := "waits for its lock, held by …" + holder.ID[len(holder.ID)-8:]; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("ps says %q, %v; want %q", out, err, want)
	}
	var shown deputy.Task
	out, err = exec.Command(program, "--socket", d.Socket, "show", "--json", waits.ID).Output()
	if err != nil || json.Unmarshal(out, &shown) != nil || shown.Waiting == nil {
		t.Errorf("show says %s, %v", out, err)
	}
	d.Crash()
	d.Start()
	c = d.Self()
	look("after a crash")
	g.open()
	c.Ended(holder.ID)
	running(t, c, waits.ID)
	g.open()
	if end := c.Ended(waits.ID); end.Waiting != nil || len(end.Attempts) != 1 || end.Attempts[0].Exit == nil || *end.Attempts[0].Exit.Code != 0 {
		t.Errorf("ended it waits for %+v, its attempts are %+v", end.Waiting, end.Attempts)
	}
}

//go:build linux

package test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// In a queue it is said who would begin before it, behind a debounce when it begins.
func TestWhoWaitsInAQueueIsToldItsPlace(t *testing.T) {
	d := prepare(t, queueModule+`
[action.settle]
lock = "s"
debounce = { quiet = "1h", max = "1h" }
command = ["/bin/true"]
`, nil)
	newGate(t, filepath.Join(d.Work, "gate")) // never opened
	d.Start()
	c := d.Self()
	var all []string
	for range 2 {
		all = append(all, c.Started("m/work", "").ID)
		running(t, c, all[len(all)-1])
	}
	first, urgent, last := c.Started("m/work", ""), c.Started("m/urgent", ""), c.Started("m/work", "")
	for id, want := range map[string]int{urgent.ID: 0, first.ID: 1, last.ID: 2} {
		w := c.Task(id).Waiting
		if w == nil || w.For != deputy.ForQueue || w.Queue == nil || *w.Queue != "apt" || w.Position == nil || *w.Position != want || w.Task != nil {
			t.Errorf("%s waits for %+v, want %d before it in apt", id, w, want)
		}
	}
	out, err := exec.Command(filepath.Join(rig.Programs(t), "deputy"), "--socket", d.Socket, "ps").Output()
	for _, want := range []string{"1st in apt", "2nd in apt", "3rd in apt"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("ps says %q, %v; want %q", out, err, want)
		}
	}
	settles := c.Started("m/settle", "")
	if w := c.Task(settles.ID).Waiting; w == nil || w.For != deputy.ForDebounce || w.Until == nil || w.Until.Sub(settles.Created.Add(time.Hour)).Abs() > time.Minute {
		t.Errorf("it waits for %+v, want an hour from %v on", w, settles.Created)
	}
	for _, id := range append(all, last.ID, first.ID, settles.ID) {
		c.Do("POST", "/v1/tasks/"+id+"/stop", "{}")
		c.Ended(id)
	}
}

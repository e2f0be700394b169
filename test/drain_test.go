//go:build linux

package test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

const drainModule = `
[allow]
users = ["uid:UID"]
[action.hello]
command = ["/bin/true"]
[action.reload]
lock = "r"
on_busy = "rerun"
command = ["/bin/sh", "-c", 'read line <"$0"; exit 0', "WORK/gate"]
[action.work]
lock = "w"
command = ["/bin/sh", "-c", 'read line <"$0"; exit 3', "WORK/gate2"]
[action.end]
lock = "w"
stops = "work"
`

// drains asks /healthz.
func drains(t *testing.T, d *rig.Deputy) bool {
	t.Helper()
	var health struct{ Draining bool }
	d.Self().Do("GET", "/healthz", "").Read(t, 200, &health)
	return health.Draining
}

// refusedWhileDraining wants the refusal that starts nothing, to be tried again.
func refusedWhileDraining(t *testing.T, a rig.Answer) {
	t.Helper()
	refusal := a.Refused(t, 503, deputy.NotDurable)
	if !strings.Contains(refusal.Detail, "deputy is draining") || !strings.Contains(refusal.Detail, "deputy drain --off") || a.Header.Get("Retry-After") == "" {
		t.Errorf("Retry-After %q: %s", a.Header.Get("Retry-After"), refusal.Detail)
	}
}

// While deputy drains nothing is started for a new request; what was accepted
// runs, is joined, watched, asked for again and stopped. A monitor that follows
// one that was killed drains, too; a service that is started anew does not.
func TestDrain(t *testing.T) {
	d := prepare(t, drainModule, nil)
	g := newGate(t, filepath.Join(d.Work, "gate"))
	newGate(t, filepath.Join(d.Work, "gate2"))
	d.Start()
	c := d.Self()
	key := []string{"Idempotency-Key", "k"}
	first := c.Started("m/reload", "")
	running(t, c, first.ID)
	queued := c.Started("m/reload", "")
	work := c.Started("m/work", "", key...)
	running(t, c, work.ID)

	var state deputy.Drain
	c.Do("POST", "/v1/drain", "").Read(t, 200, &state)
	if !state.Draining || state.Live != 3 || !drains(t, d) {
		t.Fatalf("%+v, /healthz says draining: %v", state, drains(t, d))
	}
	c.Do("POST", "/v1/drain", `{"on":true}`).Read(t, 200, &state) // asked again it changes nothing
	c.Do("POST", "/v1/drain", `{"off":true}`).Refused(t, 400, deputy.BadRequest)
	if n := len(d.Events(deputy.DrainOn)); n != 1 {
		t.Errorf("%d records of one drain", n)
	}
	goesOn := func() {
		t.Helper()
		c := d.Self()
		refusedWhileDraining(t, c.Call("m/hello", ""))
		if joined := c.Started("m/work", ""); joined.ID != work.ID {
			t.Errorf("joined %s, not %s", joined.ID, work.ID)
		}
		if a := c.Call("m/work", "", key...); a.Header.Get("Idempotency-Replayed") != "true" || a.Tasks(t)[0].ID != work.ID {
			t.Errorf("asked again: %d %s", a.Status, a.Body)
		}
		if waits := c.Started("m/reload", ""); waits.ID != queued.ID { // one that has not begun is joined
			t.Errorf("joined %s, not %s", waits.ID, queued.ID)
		}
	}
	goesOn()

	for _, part := range []string{"deputy-server", "--role monitor"} {
		before := d.Part(part)
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, 30*time.Second, "the next "+part, func() bool { now := d.Part(part); return now != 0 && now != before })
		answering(t, d)
		if !drains(t, d) {
			t.Errorf("%s was killed, and deputy drains no more", part)
		}
		goesOn()
	}

	// What waited for its turn still gets it.
	c = d.Self()
	g.open()
	c.Ended(first.ID)
	g.open()
	if task := c.Ended(queued.ID); endOf(task) != "succeeded code 0" {
		t.Errorf("the queued one: %s, %s", endOf(task), reason(task))
	}
	refusedWhileDraining(t, c.Call("m/reload", ""))
	if stopped := c.Call("m/end", "").Tasks(t); len(stopped) != 1 || stopped[0].ID != work.ID {
		t.Errorf("an action that stops gave %v", stopped)
	}
	c.Ended(work.ID)

	c.Do("POST", "/v1/drain", `{"on":false}`).Read(t, 200, &state)
	if state.Draining || state.Live != 0 || drains(t, d) {
		t.Errorf("%+v", state)
	}
	c.Ended(c.Started("m/hello", "").ID)

	c.Do("POST", "/v1/drain", "").Read(t, 200, &state)
	d.Stop()
	d.Start()
	if drains(t, d) {
		t.Error("it still drains although it was started anew")
	}
	d.Self().Ended(d.Self().Started("m/hello", "").ID)
	if on, off := d.Events(deputy.DrainOn), d.Events(deputy.DrainOff); len(on) != 2 || len(off) != 2 ||
		on[0].Caller != deputy.UIDCaller(uint32(os.Geteuid())) || off[1].Caller != "" || off[1].Reason == "" {
		t.Errorf("records: %+v %+v", on, off)
	}
	d.Verify()
}

// The command says what it waited for and how each ended; with --timeout what
// still lives.
func TestDrainCommand(t *testing.T) {
	d := prepare(t, drainModule, nil)
	newGate(t, filepath.Join(d.Work, "gate"))
	g := newGate(t, filepath.Join(d.Work, "gate2"))
	d.Start()
	c := d.Self()
	work := c.Started("m/work", "")
	running(t, c, work.ID)

	text, err := d.Command("drain", "--timeout", "300ms").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(text), "1 task still live after 300ms:\n  "+work.ID+" m/work running\n") {
		t.Fatalf("%v\n%s", err, text)
	}
	if text, err := d.Command("status").CombinedOutput(); err != nil || !strings.Contains(string(text), "draining") {
		t.Errorf("%v\n%s", err, text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waits := d.Command("drain")
	waits = exec.CommandContext(ctx, waits.Path, waits.Args[1:]...)
	waits.Env = d.Command().Env
	var said strings.Builder
	waits.Stdout, waits.Stderr = &said, &said
	if err := waits.Start(); err != nil {
		t.Fatal(err)
	}
	g.open()
	if err := waits.Wait(); err != nil {
		t.Errorf("%v\n%s", err, said.String())
	}
	if task := c.Ended(work.ID); endOf(task) != "failed code 3" {
		t.Errorf("%s", endOf(task))
	}
	if want := "drained: nothing lives; "; !strings.Contains(said.String(), want) {
		t.Errorf("it said:\n%s", said.String())
	}
	if text, err := d.Command("drain", "--off").CombinedOutput(); err != nil || string(text) != "requests are taken again; 0 tasks live\n" {
		t.Errorf("%v\n%s", err, text)
	}
}

// Who is no operator may not drain.
func TestDrainIsForOperators(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, drainModule, nil)
	d.Start()
	d.As(2).Do("POST", "/v1/drain", "").Refused(t, 403, deputy.NotAllowed)
	if drains(t, d) {
		t.Error("it drains")
	}
}

//go:build unix

package rehearsal

import (
	"fmt"
	"os/user"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/process/fakehost"
	"deputy/internal/monitor/state"
)

const module = `
[allow]
users = ["SELF"]
`

// each is declared for every action that is born.
const each = `command = ["/bin/echo"]
timeout = "10m"
grace = "5s"
linger = "2s"
`

// play is one story: an action, how its processes behave, what is asked for, and in
// which states its tasks may end, whatever happens to the monitor meanwhile.
type play struct {
	title string
	tree  fakehost.Tree    // of what is born by the action "act"
	extra string           // of its manifest
	does  func(m *machine) // nil: act is asked for
	ends  []deputy.State   // of all tasks of act
	first []deputy.State   // of that of the action "first", which holds the lock a minute
	width int              // of the queue of act: at most so many run at a time; 0: it has none
}

func forever(p fakehost.Process) fakehost.Process { p.Lives = fakehost.Forever; return p }

var (
	lasting = fakehost.Process{Lives: fakehost.Forever}
	minute  = fakehost.Process{Lives: time.Minute}
)

// stopAfter asks for act, and stops it after a while with graces in ms, a second apart.
func stopAfter(wait time.Duration, graces ...int64) func(*machine) {
	return func(m *machine) {
		id := m.start("act", "act")
		time.Sleep(wait)
		for i, grace := range graces {
			if i < len(graces)-1 {
				m.clients.Go(func() { m.stop(id, grace) })
				time.Sleep(time.Second)
				continue
			}
			m.stop(id, grace)
		}
	}
}

// behind asks for act while first holds the lock.
func behind(then func(m *machine, id string)) func(*machine) {
	return func(m *machine) {
		m.start("first", "first")
		id := m.start("act", "act")
		if then != nil {
			then(m, id)
		}
	}
}

const locked = "lock = \"l\"\non_busy = \"rerun\"\n"

func plays() []play {
	succeeded, failed, stopped, timedOut := []deputy.State{deputy.Succeeded}, []deputy.State{deputy.Failed}, []deputy.State{deputy.Stopped}, []deputy.State{deputy.TimedOut}
	return []play{
		{title: "it succeeds", tree: fakehost.Tree{First: minute}, ends: succeeded},
		{title: "it is over at once", ends: succeeded},
		{title: "it fails", tree: fakehost.Tree{First: fakehost.Process{Lives: time.Second, Exit: deputy.Exit{Code: new(3)}}}, ends: failed},
		{title: "it dies", tree: fakehost.Tree{First: fakehost.Process{Lives: time.Second, Exit: deputy.Exit{Signal: "SIGSEGV"}}}, ends: failed},
		{title: "its program is not there", tree: fakehost.Tree{Birth: fakehost.Birth{Fails: process.ErrNotFound}}, ends: failed},
		{title: "there is no process to be had", tree: fakehost.Tree{Birth: fakehost.Birth{Fails: syscall.EAGAIN}}, ends: failed},
		{title: "its birth takes long", tree: fakehost.Tree{Birth: fakehost.Birth{Takes: time.Second, Exec: time.Second}, First: minute}, ends: succeeded},
		{title: "it ends before its birth is told", tree: fakehost.Tree{Birth: fakehost.Birth{Returns: time.Second}}, ends: succeeded},
		{title: "it never becomes its program", tree: fakehost.Tree{Birth: fakehost.Birth{Exec: fakehost.Forever}, First: lasting}, ends: failed},
		{title: "what it leaves ends by itself", tree: fakehost.Tree{First: minute, Others: []fakehost.Process{{Lives: 61 * time.Second}}}, ends: succeeded},
		{title: "what it leaves is killed", tree: fakehost.Tree{First: minute, Others: []fakehost.Process{lasting, lasting}}, ends: succeeded},
		{title: "it is stopped", tree: fakehost.Tree{First: lasting, Others: []fakehost.Process{lasting}}, does: stopAfter(10*time.Second, -1), ends: stopped},
		{title: "it is stopped and takes its time", tree: fakehost.Tree{First: forever(fakehost.Process{Obeys: time.Second}), Others: []fakehost.Process{forever(fakehost.Process{Obeys: 3 * time.Second})}},
			does: stopAfter(10*time.Second, -1), ends: stopped},
		{title: "it does not hear the stop", tree: fakehost.Tree{First: forever(fakehost.Process{Deaf: true})}, does: stopAfter(10*time.Second, -1), ends: stopped},
		{title: "it is stopped without grace", tree: fakehost.Tree{First: lasting}, does: stopAfter(10*time.Second, 0), ends: stopped},
		{title: "the grace is made shorter", tree: fakehost.Tree{First: forever(fakehost.Process{Deaf: true})}, does: stopAfter(10*time.Second, -1, 100), ends: stopped},
		{title: "it is stopped as it is born", tree: fakehost.Tree{Birth: fakehost.Birth{Takes: 3 * time.Second}, First: lasting}, does: stopAfter(time.Second, -1), ends: stopped},
		{title: "it is stopped as it becomes its program", tree: fakehost.Tree{Birth: fakehost.Birth{Exec: 3 * time.Second}, First: lasting}, does: stopAfter(time.Second, -1), ends: stopped},
		{title: "it is stopped and cannot be born", tree: fakehost.Tree{Birth: fakehost.Birth{Takes: 3 * time.Second, Fails: process.ErrNotFound}}, does: stopAfter(time.Second, -1),
			ends: []deputy.State{deputy.Stopped, deputy.Failed}},
		{title: "it is stopped as it lingers", tree: fakehost.Tree{First: fakehost.Process{Lives: 10 * time.Second}, Others: []fakehost.Process{lasting}}, does: stopAfter(11*time.Second, -1),
			ends: []deputy.State{deputy.Stopped, deputy.Succeeded}},
		{title: "it is stopped while it is killed", tree: fakehost.Tree{First: forever(fakehost.Process{Deaf: true, Holds: 20 * time.Second})}, does: stopAfter(10*time.Second, 0, -1, -1), ends: stopped},
		{title: "it survives the kill", tree: fakehost.Tree{First: forever(fakehost.Process{Deaf: true}), Others: []fakehost.Process{forever(fakehost.Process{Deaf: true, Holds: time.Minute})}},
			does: stopAfter(10*time.Second, 0), ends: stopped},
		{title: "its time is up", tree: fakehost.Tree{First: lasting}, ends: timedOut},
		{title: "its time is up, and it does not hear", tree: fakehost.Tree{First: forever(fakehost.Process{Deaf: true})}, ends: timedOut},
		{title: "its time is up as it is stopped", tree: fakehost.Tree{First: forever(fakehost.Process{Deaf: true})}, does: stopAfter(10*time.Minute-2*time.Second, -1), ends: []deputy.State{deputy.Stopped, deputy.TimedOut}},
		{title: "it waits its turn", tree: fakehost.Tree{First: minute}, extra: locked, does: behind(nil), ends: succeeded, first: succeeded},
		{title: "it is asked for as the lock comes free", tree: fakehost.Tree{First: fakehost.Process{Lives: 100 * time.Millisecond}}, extra: locked, ends: succeeded, first: succeeded, does: func(m *machine) {
			for i := range 6 {
				began := time.Now()
				m.start(fmt.Sprint("first", i), "first")
				time.Sleep(time.Until(began.Add(time.Minute + time.Duration(i)*300*time.Microsecond)))
				m.start(fmt.Sprint("act", i), "act")
				time.Sleep(10 * time.Second)
			}
		}},
		{title: "it waits, and is stopped", extra: locked, does: behind(func(m *machine, id string) { m.stop(id, -1) }), ends: stopped, first: succeeded},
		{title: "it waits too long", extra: locked + "start_within = \"30s\"\n", does: behind(nil), ends: []deputy.State{deputy.Expired}, first: succeeded},
		{title: "it waits, and is forbidden", extra: locked, does: behind(func(m *machine, _ string) { m.changed.Store(true) }), ends: []deputy.State{deputy.Rejected}, first: succeeded},
		{title: "it is asked for twice", tree: fakehost.Tree{First: minute}, extra: "lock = \"l\"\n", ends: succeeded, does: func(m *machine) {
			one, two := m.start("one", "act"), m.start("two", "act")
			if one != two && len(m.disk.Events()) == m.disk.Written() { // otherwise the first may have ended
				m.t.Errorf("tasks %s and %s hold one lock", one, two)
			}
		}},
		{title: "another action stops it", tree: fakehost.Tree{First: lasting}, extra: "lock = \"l\"\n", ends: stopped, does: func(m *machine) {
			id := m.start("act", "act")
			m.reach(id, state.Running)
			m.call("halt", "halt", nil)
		}},
		{title: "they have places in turn", tree: fakehost.Tree{First: minute}, extra: "queue = \"q\"\n", width: 2, ends: succeeded, does: func(m *machine) {
			for i := range 6 {
				m.clients.Go(func() { m.start(fmt.Sprint("act", i), "act") })
			}
		}},
		{title: "one place, asked for at once", extra: "queue = \"q\"\n", width: 1, ends: []deputy.State{deputy.Succeeded, deputy.Stopped}, tree: fakehost.Tree{First: minute, Others: []fakehost.Process{lasting}}, does: func(m *machine) {
			one := m.start("one", "act")
			two, three := m.start("two", "act"), m.start("three", "act")
			m.clients.Go(func() { m.stop(one, -1) })
			m.clients.Go(func() { m.stop(two, -1) })
			time.Sleep(2 * time.Minute)
			m.stop(three, -1)
		}},
		{title: "they stand in line for a lock", tree: fakehost.Tree{First: minute}, extra: "lock = \"l\"\non_busy = \"queue\"\n", width: 1, ends: succeeded, does: func(m *machine) {
			for i := range 4 {
				m.start(fmt.Sprint("act", i), "act")
			}
		}},
		{title: "each replaces the one before", tree: fakehost.Tree{First: minute}, extra: "lock = \"l\"\non_busy = \"replace\"\n", width: 1,
			ends: []deputy.State{deputy.Succeeded, deputy.Stopped}, does: func(m *machine) {
				for i := range 4 {
					m.start(fmt.Sprint("act", i), "act")
					time.Sleep(time.Second)
				}
			}},
		{title: "it waits until it is asked for no more", tree: fakehost.Tree{First: minute}, width: 1, ends: succeeded,
			extra: "lock = \"l\"\nqueue = \"q\"\ndebounce = { quiet = \"5s\", max = \"20s\" }\n", does: func(m *machine) {
				for i := range 9 {
					m.start(fmt.Sprint("act", i), "act")
					time.Sleep(3 * time.Second)
				}
			}},
		{title: "they need a lock and a place", tree: fakehost.Tree{First: minute}, extra: locked + "queue = \"q\"\n", width: 1, does: behind(nil), ends: succeeded, first: succeeded},
		{title: "it is told a secret", tree: fakehost.Tree{First: minute}, extra: "params.pin = { type = \"string\", sensitive = true }\nstdin = \"{pin}\"\n", ends: succeeded,
			does: func(m *machine) { m.call("act", "act", deputy.Params{"pin": "1234"}) }},
	}
}

// manifest is that of a play.
func (p *play) manifest() string {
	me, err := user.Current()
	if err != nil {
		panic(err)
	}
	text := strings.Replace(module, "SELF", me.Username, 1)
	text += "[action.act]\n" + each + p.extra + "[action.first]\nlock = \"l\"\n" + each
	if strings.Contains(p.extra, "lock") {
		text += "[action.halt]\nstops = \"act\"\nlock = \"l\"\n"
	}
	if p.width > 0 {
		text += fmt.Sprintf("[queue.q]\nparallel = %d\n", p.width)
	}
	return text
}

// cast has the processes of the play behave.
func (p *play) cast(s process.Spec) fakehost.Tree {
	if s.Argv[0] == "act" {
		return p.tree
	}
	return fakehost.Tree{First: minute}
}

func (p *play) run(m *machine) {
	m.begin()
	if p.does == nil {
		m.start("act", "act")
	} else {
		p.does(m)
	}
	m.clients.Wait()
	m.settle()
	m.bury()
}

func TestPlaysAreComplete(t *testing.T) {
	titles := map[string]bool{}
	for _, p := range plays() {
		if titles[p.title] || len(p.ends) == 0 {
			t.Errorf("%q stands twice, or has no end", p.title)
		}
		titles[p.title] = true
	}
}

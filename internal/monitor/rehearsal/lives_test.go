//go:build unix

package rehearsal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"deputy"
	"deputy/internal/monitor/journal/fakejournal"
	"deputy/internal/monitor/state"
)

// cell is one of the table of a task's life.
type cell struct {
	in state.Phase
	h  state.Happening
}

// elsewhere are cells that no play walks, and why.
var elsewhere = map[cell]string{
	{state.Queued, state.Intended}:    "a replay and a record walk it, within package state",
	{state.Starting, state.Intended}:  "the same",
	{state.Starting, state.Put}:       "the same",
	{state.Over, state.GraceOver}:     "timers are cancelled at the end; it stands for one that is due at that moment",
	{state.Over, state.LingerOver}:    "the same",
	{state.Over, state.Deadline}:      "a time-out asks first whether the task is over",
	{state.Over, state.Stop}:          "a stop asks the same, but of what is recorded meanwhile",
	{state.Lingering, state.Deadline}: "a time-out is a stop by then",
	{state.Killing, state.Deadline}:   "the same",
	{state.Killing, state.GraceOver}:  "timers are cancelled; it stands for one that is due at that moment",
	{state.Killing, state.LingerOver}: "the same",
	{state.Stopping, state.Deadline}:  "a time-out is a stop by then",
	{state.Running, state.Vanished}:   "a host that cannot adopt; see package tasks",
	{state.Starting, state.Vanished}:  "the same, and reboots",
	{state.Queued, state.Vanished}:    "a restored journal",
	{state.Stopping, state.TakenUp}:   "phases are not recorded but by checkpoints",
	{state.Killing, state.TakenUp}:    "the same",
	{state.Lingering, state.TakenUp}:  "the same",
	{state.Over, state.TakenUp}:       "the same",
	{state.Running, state.TakenUp}:    "the same",
}

// Every play with a disk that keeps all, then with each record of it lost, orphaned or
// refused: each task that was accepted ends once, as the play says. Together they walk
// the whole table of a task's life.
func TestEveryRecordMayBeLost(t *testing.T) {
	seen := map[cell]bool{}
	saw := func(p state.Phase, h state.Happening) { seen[cell{p, h}] = true }
	for _, p := range plays() {
		t.Run(p.title, func(t *testing.T) {
			r := load(t, p.manifest())
			records := rehearse(t, r, p, "undisturbed", saw, nil)
			for nth := 1; nth <= records; nth++ {
				for fate, name := range map[fakejournal.Fate]string{fakejournal.Lost: "lost", fakejournal.Orphaned: "orphaned", fakejournal.Refused: "refused"} {
					rehearse(t, r, p, fmt.Sprintf("record %d is %s", nth, name), saw, func(n int, _ *deputy.Event) fakejournal.Fate {
						if n == nth {
							return fate
						}
						return fakejournal.Kept
					})
				}
			}
		})
	}
	for _, p := range state.Phases() {
		for _, h := range state.Happenings() {
			in := cell{p, h}
			possible := (&state.Task{Phase: p}).Happen(h) != state.Impossible
			switch _, spared := elsewhere[in]; {
			case seen[in] && !possible:
				t.Errorf("%s, %s is impossible, and happened", p, h)
			case !seen[in] && possible && !spared:
				t.Errorf("%s, %s is walked by no play", p, h)
			case seen[in] && spared:
				t.Errorf("%s, %s is walked by a play, and said not to be", p, h)
			}
		}
	}
}

// The same with whatever chance does to records, and deaths of the monitor at any time.
func TestLivesByChance(t *testing.T) {
	all := plays()
	rules := make([]*rules, len(all))
	for seed := range uint64(400) {
		dice := rand.New(rand.NewPCG(seed, 0))
		i := dice.IntN(len(all))
		if rules[i] == nil {
			rules[i] = load(t, all[i].manifest())
		}
		t.Run(fmt.Sprintf("%s, seed %d", all[i].title, seed), func(t *testing.T) {
			p := all[i]
			does := p.does
			p.does = func(m *machine) {
				for range dice.IntN(4) {
					at := time.Duration(dice.Int64N(int64(20 * time.Second)))
					m.clients.Go(func() { time.Sleep(at); m.crash() })
				}
				if does == nil {
					m.start("act", "act")
				} else {
					does(m)
				}
			}
			if slices.Contains(p.ends, deputy.Stopped) || slices.Contains(p.ends, deputy.TimedOut) {
				// What cannot be recorded is stopped all the same, and who dies then leaves
				// to the next that it was killed by that signal.
				p.ends = append(slices.Clone(p.ends), deputy.Failed)
			}
			if p.tree.Birth.Fails != nil { // and that it was not born may be known to the dead alone
				p.ends = append(slices.Clone(p.ends), deputy.Unknown)
			}
			rehearse(t, rules[i], p, "", func(state.Phase, state.Happening) {}, func(n int, _ *deputy.Event) fakejournal.Fate {
				dice := rand.New(rand.NewPCG(seed, uint64(n)))
				if n > 60 || dice.IntN(8) > 0 {
					return fakejournal.Kept
				}
				return fakejournal.Fate(1 + dice.IntN(3))
			})
		})
	}
}

// rehearse plays once, and gives how many records that took.
func rehearse(t *testing.T, r *rules, p play, what string, saw func(state.Phase, state.Happening), fate func(int, *deputy.Event) fakejournal.Fate) (records int) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if !t.Run(what, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(t, r, dir, p.cast)
			m.disk.Fate, m.saw = fate, saw
			p.run(m)
			check(t, m, p)
			records = m.disk.Written()
		})
	}) {
		t.FailNow()
	}
	return records
}

// check holds what the disk has, and what lives, against the play.
func check(t *testing.T, m *machine, p play) {
	t.Helper()
	if leaves := m.leaves(); len(leaves) > 0 {
		t.Errorf("something lives, or is kept: %q", leaves)
	}
	running := map[string]bool{} // of act
	accepted, ended, started := map[string]string{}, map[string]deputy.State{}, map[string]int{}
	for _, e := range m.disk.Events() {
		switch e.Type {
		case deputy.Accepted:
			for _, task := range e.Tasks {
				if !task.Joined {
					accepted[task.ID] = e.Action
				}
			}
		case deputy.Started:
			if started[e.Leaf]++; started[e.Leaf] > 1 {
				t.Errorf("%s was started %d times", e.Leaf, started[e.Leaf])
			}
			if accepted[e.Task] == "act" {
				running[e.Task] = true
			}
			if p.width > 0 && len(running) > p.width {
				t.Errorf("%d run at a time, of %d that may", len(running), p.width)
			}
		case deputy.Ended:
			if before, twice := ended[e.Task]; twice {
				t.Errorf("task %s has ended twice: %s, %s", e.Task, before, e.State)
			}
			ended[e.Task] = e.State
			delete(running, e.Task)
		}
	}
	acts := 0
	for id, action := range accepted {
		want := p.ends
		if action == "first" {
			want = p.first
		} else {
			acts++
		}
		if !slices.Contains(want, ended[id]) {
			t.Errorf("%s ended %q, and may only be %q", action, ended[id], want)
		}
	}
	if acts == 0 || len(ended) != len(accepted) {
		t.Errorf("%d tasks of act were accepted; %d of %d ended", acts, len(ended), len(accepted))
	}
	if t.Failed() {
		t.Logf("the log:\n%s", m.lines.String())
		for _, e := range m.disk.Events() {
			t.Logf("%d %s %s %s %s %s", e.Seq, e.Type, e.Task, e.Leaf, e.State, e.Reason)
		}
	}
}

//go:build unix

package rehearsal

import (
	"os"
	"sync/atomic"
	"time"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"deputy/internal/wall"
)

// patience is how long a client rests before it asks again what it was not told.
const patience = 500 * time.Millisecond

// answer is what a client is told.
type answer struct {
	outcome wall.Outcome
	seq     uint64
}

// reply is the way back to a client, which hears one answer.
type reply struct {
	ledger *ledger.Ledger
	got    chan answer
	times  atomic.Int32
}

func (y *reply) Answer(seq uint64, o wall.Outcome) {
	y.times.Add(1)
	select {
	case y.got <- answer{o, seq}:
	default:
	}
}

func (y *reply) Text([]byte) { y.Answer(0, wall.Outcome{}) }

func (y *reply) Refuse(after uint64, err *deputy.Error) {
	tell := func(err *deputy.Error) { y.Answer(after, wall.Outcome{Error: err}) }
	if after == 0 {
		tell(err)
		return
	}
	y.ledger.WhenDurable(after, func(uint64) { tell(err) }, tell)
}

// self is who asks.
func self() policy.Identity {
	uid := uint32(os.Geteuid())
	return policy.Identity{Caller: deputy.UIDCaller(uid), UID: uid}
}

// ask asks until it is told an outcome, of whichever monitor lives then, as a client
// with an Idempotency-Key may.
func (m *machine) ask(r wall.Request, do func(*life, *wall.Request, *reply)) wall.Outcome {
	var last *deputy.Error
	for range 10_000 {
		l := m.alive()
		one := r // each monitor reads it anew
		y := &reply{ledger: l.ledger, got: make(chan answer, 1)}
		if l.loop.Do(func() { do(l, &one, y) }) {
			select {
			case a := <-y.got:
				if y.times.Load() > 1 {
					m.t.Errorf("%s was answered %d times", r.Kind, y.times.Load())
				}
				if e := a.outcome.Error; e == nil || e.Code != deputy.OutcomeUnknown && e.Code != deputy.NotDurable {
					m.checkDurable(a)
					return a.outcome
				}
				last = a.outcome.Error
			case <-l.dead:
			}
		}
		time.Sleep(patience)
	}
	m.t.Errorf("%s %s is never told its outcome: %v", r.Kind, r.Action, last)
	return wall.Outcome{}
}

// checkDurable: who was told of a record finds it on the disk.
func (m *machine) checkDurable(a answer) {
	if n := len(m.disk.Events()); uint64(n) < a.seq {
		m.t.Errorf("an answer names record %d, and %d are on the disk", a.seq, n)
	}
}

// call asks for an action, and gives its tasks.
func (m *machine) call(key, action string, params deputy.Params) wall.Outcome {
	r := wall.Request{Kind: wall.Call, Module: "m", Action: action, Key: key, Params: params}
	return m.ask(r, func(l *life, r *wall.Request, y *reply) {
		j := l.admission.Judge(r, self())
		if j.Refusal != nil {
			y.Refuse(0, j.Refusal)
			return
		}
		l.admission.Call(r, self(), j, y)
	})
}

// start asks for an action of one task, and gives its id.
func (m *machine) start(key, action string) string {
	o := m.call(key, action, nil)
	if o.Error != nil || len(o.Tasks) != 1 {
		m.t.Errorf("%s is refused: %v", action, o.Error)
		return ""
	}
	return o.Tasks[0]
}

// stop stops a task; -1 is the declared grace. It returns when nothing of the task
// lives, or what survives is told.
func (m *machine) stop(id string, graceMS int64) wall.Outcome {
	return m.ask(wall.Request{Kind: wall.Stop, Task: id, GraceMS: graceMS}, func(l *life, r *wall.Request, y *reply) {
		l.admission.Stop(r, self(), y)
	})
}

// reach waits until a task is in a phase, or in a later one.
func (m *machine) reach(id string, p state.Phase) {
	order := map[state.Phase]int{state.Queued: 0, state.Starting: 1, state.Running: 2, state.Lingering: 3, state.Stopping: 4, state.Killing: 5, state.Over: 6}
	for range 1000 {
		l, there := m.alive(), false
		l.loop.Do(func() {
			t := l.state.Tasks[id]
			there = t == nil || order[t.Phase] >= order[p]
		})
		if there {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	m.t.Errorf("task %s never is %s", id, p)
}

// settle waits until no task lives and the journal is written.
func (m *machine) settle() {
	for range 10_000 {
		l, left := m.alive(), -1
		l.loop.Do(func() {
			if l.ledger.Unwritable() == nil {
				left = len(l.state.Tasks)
			}
		})
		time.Sleep(time.Second) // what is released is released beside the loop
		if left == 0 {
			return
		}
	}
	m.t.Errorf("tasks live for ever; the log says:\n%s", m.lines.String())
}

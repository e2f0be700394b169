package monitor

import (
	"maps"
	"slices"
	"strconv"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/wall"
)

// queuesAsked serves GET /v1/queues: those that whoever asks may know of.
func (m *Monitor) queuesAsked(a asked) {
	queues := []deputy.Queue{}
	for _, name := range slices.Sorted(maps.Keys(a.J.Queues)) {
		queues = append(queues, m.queue(name, a.J.Queues[name]))
	}
	a.Reply.Answer(0, wall.Outcome{Queues: queues})
}

// queue says how a declared queue stands.
func (m *Monitor) queue(name string, actions []string) deputy.Queue {
	q := m.policy.Load().Set().Queues[name]
	stands := deputy.Queue{
		Name: name, Parallel: q.Parallel, MaxWaiting: q.MaxWaiting, Fair: q.Fair,
		Paused: m.state.Paused[name], Running: m.tasks.Queues.Placed(name), Waiting: m.tasks.Queues.Waiting(name),
		Actions: append([]string{}, actions...),
	}
	if q.OvertakeAfter > 0 {
		stands.OvertakeAfter = new(q.OvertakeAfter.String())
	}
	return stands
}

// queueAsked serves POST /v1/queues/{name}: a queue is paused, or goes on. What runs in
// it runs on; a pause lasts until it is ended, over every restart.
func (m *Monitor) queueAsked(a asked) {
	name := a.R.Queue
	if m.policy.Load().Set().Queues[name] == nil {
		a.Reply.Refuse(0, deputy.Refuse(deputy.BadRequest, "cannot pause %s: there is no such queue; see: deputy queue", strconv.Quote(name)))
		return
	}
	if refusal := m.ledger.Refuse("pause or resume a queue"); refusal != nil {
		a.Reply.Refuse(0, refusal)
		return
	}
	if m.state.Paused[name] != a.R.On {
		e := &deputy.Event{Type: deputy.QueueResumed, Queue: name, Caller: a.ID.Caller, EndUser: a.ID.EndUser, Nonce: a.R.Nonce}
		word := "resumes"
		if a.R.On {
			e.Type, word = deputy.QueuePaused, "pauses"
		}
		m.ledger.Record(e, ledger.After{Durable: func() { m.o.Log.Printf("%s %s the queue %s", a.ID, word, name) }})
		m.tasks.Queues.Pause(name, a.R.On)
	}
	m.ledger.WhenDurable(m.ledger.Last(), func(seq uint64) {
		a.Reply.Answer(seq, wall.Outcome{Queues: []deputy.Queue{m.queue(name, a.J.Queues[name])}})
	}, func(err *deputy.Error) { a.Reply.Refuse(0, err) })
}

package monitor

import (
	"deputy/internal/monitor/requests"
	"deputy/internal/monitor/waits"
	"deputy/internal/wall"
)

// asked is a request whose caller is known, and who is allowed to ask.
type asked = requests.Asked

// handlers do what each verb asks for. The loop calls them, but for what the server asks
// in a turn of its own.
func (m *Monitor) handlers() map[wall.Kind]func(asked) {
	return map[wall.Kind]func(asked){
		wall.Call:    func(a asked) { m.admission.Call(a.R, a.ID, a.J, a.Reply) },
		wall.Stop:    func(a asked) { m.admission.Stop(a.R, a.ID, a.Reply) },
		wall.Explain: func(a asked) { m.admission.Explain(a.R, a.ID, a.J, a.Reply) },
		wall.Rights:  func(a asked) { a.Reply.Text(a.J.Text) },
		wall.Actions: func(a asked) { a.Reply.Text(a.J.Text) },
		wall.Reload:  m.reloadAsked,
		wall.Drain:   m.drainAsked,
		wall.Upgrade: m.upgradeAsked,
		wall.Queues:  m.queuesAsked,
		wall.Queue:   m.queueAsked,
		wall.Waits:   m.waitsAsked,
		wall.Ping:    func(a asked) { a.Reply.Answer(0, wall.Outcome{Beat: m.beat()}) },
	}
}

// waitsAsked says what tasks wait for.
func (m *Monitor) waitsAsked(a asked) {
	var w *waits.Waits
	if m.loop.Do(func() { w = waits.Of(m.tasks, a.R.Tasks) }) {
		a.Reply.Answer(0, wall.Outcome{Waits: w.Find()})
	}
}

// beat says how the loop is that makes it.
func (m *Monitor) beat() *wall.Beat {
	b := &wall.Beat{}
	if m.o.LogLost != nil {
		b.LogLost = m.o.LogLost()
	}
	if refusal := m.admission.Refusing(); refusal != nil {
		b.Refusing = refusal.Detail
	}
	return b
}

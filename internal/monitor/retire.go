package monitor

// retireSegments records the heads of the journal's oldest segments, and has these
// deleted beside the loop once that is durable.
func (m *Monitor) retireSegments(n int) {
	if m.failed != nil || m.retiring {
		return
	}
	events, err := m.journal.Retirement(n)
	if err != nil {
		m.log.Printf("%v", err)
		return
	}
	m.retiring = true
	remove := func() {
		err := m.journal.Remove(n)
		m.post(func() {
			if m.retiring = false; err != nil {
				m.log.Printf("%v", err)
			}
		})
	}
	for i, e := range events {
		var durable func()
		if i == len(events)-1 {
			durable = func() { go remove() }
		}
		m.record(e, durable, nil)
	}
}

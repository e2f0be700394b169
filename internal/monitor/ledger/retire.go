package ledger

// RetireSegments records the heads of the journal's oldest segments, and has these
// deleted beside the loop once that is durable.
func (l *Ledger) RetireSegments(n int) {
	if l.failed != nil || l.retiring {
		return
	}
	events, err := l.journal.Retirement(n)
	if err != nil {
		l.log.Printf("%v", err)
		return
	}
	l.retiring = true
	remove := func() {
		err := l.journal.Remove(n)
		l.loop.Post(func() {
			if l.retiring = false; err != nil {
				l.log.Printf("%v", err)
			}
		})
	}
	for i, e := range events {
		var durable func()
		if i == len(events)-1 {
			durable = func() { go remove() }
		}
		l.Record(e, After{Durable: durable})
	}
}

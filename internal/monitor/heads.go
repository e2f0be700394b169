package monitor

import (
	"time"

	"deputy/internal/monitor/clock"
)

// Heads of the journal go to the system's log when a segment begins, and each
// hour: where that log is sent on to another machine, root of this one can no
// longer change what came before without being found out.
const headEvery = time.Hour

// authNotice is the priority of such a message: facility authpriv (10), severity
// notice (5); RFC 5424, section 6.2.1.
const authNotice = 10*8 + 5

// heads is what was told to the system's log.
type heads struct {
	segment uint64 // the one of the last head
	next    *clock.Timer
	silent  bool // the log could not be reached, which was said
}

// sendNewHead tells the head if a segment was begun.
func (m *Monitor) sendNewHead() {
	if m.o.Paths.Syslog == "" || m.journal.Live() == m.heads.segment {
		return
	}
	m.heads.segment = m.journal.Live()
	m.sendHead()
}

// sendHead tells the head of what is durable, and will again in an hour.
func (m *Monitor) sendHead() {
	m.timers.Cancel(m.heads.next)
	m.heads.next = m.timers.After(headEvery, m.sendHead)
	err := toSyslog(m.o.Paths.Syslog, m.journal.Head().String())
	if err != nil && !m.heads.silent {
		m.log.Printf("warning: cannot send the journal's head to the system's log: %v; keep it elsewhere with: deputy audit export --head", err)
	}
	m.heads.silent = err != nil
}

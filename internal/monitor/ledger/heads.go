package ledger

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
func (l *Ledger) sendNewHead() {
	if l.o.Syslog == "" || l.journal.Live() == l.heads.segment {
		return
	}
	l.heads.segment = l.journal.Live()
	l.sendHead()
}

// sendHead tells the head of what is durable, and will again in an hour.
func (l *Ledger) sendHead() {
	l.loop.Cancel(l.heads.next)
	l.heads.next = l.loop.After(headEvery, l.sendHead)
	err := toSyslog(l.o.Syslog, l.journal.Head().String())
	if err != nil && !l.heads.silent {
		l.log.Printf("warning: cannot send the journal's head to the system's log: %v; keep it elsewhere with: deputy audit export --head", err)
	}
	l.heads.silent = err != nil
}

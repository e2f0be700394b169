package ledger

import (
	"errors"
	"time"

	"deputy/internal/monitor/clock"
)

// The journal's reserve holds, on a full disk, what a new segment begins with and
// all that is still to be recorded of the tasks that live. Nothing else is recorded
// while the journal lives on it: see Unwritable.

// Sizes are in bytes.
const (
	reserveStep    = 1 << 20   // it grows and shrinks by whole ones
	reserveBase    = 256 << 10 // starts of the monitor, retirements, the cancelled record
	retryReserve   = time.Second
	reservePercent = 150 // of what is needed: what comes while it grows
)

// reserve is how the journal's reserve stands, as the loop knows it.
type reserve struct {
	asked   int64
	short   error // why it is not whole; nil: it is
	without bool  // the file system can keep none, which was said
	retry   *clock.Timer
}

// Lacks is how many bytes the reserve needs and has not, at most; 0: it is whole.
func (l *Ledger) Lacks() int64 {
	if l.reserve.short == nil {
		return 0
	}
	return l.reserve.asked
}

// fitReserve has the reserve follow the state.
func (l *Ledger) fitReserve() {
	need := l.reserveNeeded()
	if need <= l.reserve.asked && need > l.reserve.asked/4-reserveStep {
		return
	}
	l.reserve.asked = (need*reservePercent/100/reserveStep + 1) * reserveStep
	l.journal.Reserve(l.reserve.asked)
}

func (l *Ledger) reserveNeeded() int64 {
	need := reserveBase + l.state.Reserve()
	_, files := l.o.Policy()
	for _, f := range files {
		need += int64(len(f.Path) + len(f.Text))
	}
	return need
}

// lookAtReserve is called after every change of the journal.
func (l *Ledger) lookAtReserve() {
	short := l.journal.Short()
	if errors.Is(short, errors.ErrUnsupported) {
		if !l.reserve.without {
			l.log.Printf("warning: %v; on a full disk the ends of running tasks are recorded only once there is room", short)
		}
		l.reserve.without, short = true, nil
	}
	before := l.reserve.short
	l.reserve.short = short
	switch {
	case short != nil && before == nil:
		l.log.Printf("%v; nothing new is accepted until there is room, running tasks go on", short)
		l.o.Tell(Short)
		l.loop.Cancel(l.reserve.retry)
		l.reserve.retry = l.loop.After(retryReserve, l.retryReserve)
	case short == nil && before != nil:
		l.log.Printf("there is room again for the journal and its reserve: requests are accepted")
		l.goOn()
	}
}

func (l *Ledger) retryReserve() {
	if l.reserve.short != nil {
		l.journal.Reserve(l.reserve.asked)
		l.reserve.retry = l.loop.After(retryReserve, l.retryReserve)
	}
}

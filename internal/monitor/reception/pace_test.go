package reception

import (
	"testing"
	"time"

	"deputy"
)

// Each user has so many at once, then one each pause, of which as many may wait;
// what is beyond is turned away, and no other user is delayed by it.
func TestPace(t *testing.T) {
	p := pace{ahead: map[deputy.Caller]time.Time{}}
	now := time.Now()
	count := func(who deputy.Caller) (once, wait, away int) {
		for range 10 {
			switch due, ok := p.next(who, now, time.Millisecond, 3); {
			case !ok:
				away++
			case due.After(now):
				wait++
			default:
				once++
			}
		}
		return once, wait, away
	}
	if once, wait, away := count("uid:1"); once != 4 || wait != 3 || away != 3 {
		t.Errorf("of 10 that come together %d pass at once, %d wait and %d are turned away", once, wait, away)
	}
	if once, _, _ := count("uid:2"); once != 4 {
		t.Errorf("of another user %d pass at once", once)
	}
	now = now.Add(2 * time.Millisecond) // two turns later
	if once, wait, away := count("uid:1"); once != 0 || wait != 2 || away != 8 {
		t.Errorf("after a while %d pass at once, %d wait and %d are turned away", once, wait, away)
	}
	now = now.Add(time.Minute)
	if once, _, _ := count("uid:1"); once != 4 {
		t.Errorf("of one who has rested %d pass at once", once)
	}
}

// Who waits has its turn in the order of the turns, and one that has gone none.
func TestParkedConnectionsHaveTheirTurns(t *testing.T) {
	p := pace{}
	now := time.Now()
	third, gone, first, second := &connection{due: now.Add(3)}, &connection{due: now.Add(2), fd: -1}, &connection{due: now.Add(1)}, &connection{due: now.Add(1 + 1)}
	for _, c := range []*connection{third, gone, first, second} {
		p.park(c)
	}
	if pass, wait := p.due(now, time.Second); len(pass) != 0 || wait != 1 {
		t.Errorf("%d have their turn too early; the next waits %v", len(pass), wait)
	}
	pass, wait := p.due(now.Add(2), time.Second)
	if len(pass) != 2 || pass[0] != first || pass[1] != second || wait != 1 {
		t.Errorf("%d have their turn, and the next waits %v", len(pass), wait)
	}
	if pass, wait := p.due(now.Add(time.Second), time.Second); len(pass) != 1 || pass[0] != third || wait != time.Second {
		t.Errorf("%d are the last, and the next waits %v", len(pass), wait)
	}
}

// Users of whom there is nothing to remember are forgotten.
func TestPaceForgetsWhoHasRested(t *testing.T) {
	p := pace{ahead: map[deputy.Caller]time.Time{}}
	now := time.Now()
	for uid := range uint32(10 * paceMany) {
		now = now.Add(time.Millisecond)
		p.next(deputy.UIDCaller(uid), now, time.Millisecond, 3)
	}
	if len(p.ahead) > paceMany {
		t.Errorf("%d users are remembered", len(p.ahead))
	}
}

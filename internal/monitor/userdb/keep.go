package userdb

import (
	"cmp"
	"slices"
	"time"
)

// Keep looks at the files from time to time, so that a change is told of though
// nobody asks for anything, and has the name services asked again. It runs beside
// all decisions, until over is closed.
func (d *Database) Keep(over <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	pause, next, meet := minPause, time.Duration(0), time.Duration(0)
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		case <-d.wake:
			if d.o.Now() < meet {
				continue // the tick comes to it
			}
		}
		d.View()
		if now := d.o.Now(); now >= meet {
			meet = now + strangerEvery
			_ = d.ask(d.strangers(), roundTime) // what is not said is not known: see Standing
		}
		if d.o.Now() < next {
			continue
		}
		questions := d.due()
		if len(questions) == 0 {
			pause = minPause
			continue
		}
		if d.ask(questions, roundTime) == nil {
			pause = minPause
			continue
		}
		next = d.o.Now() + pause
		pause = min(2*pause, refreshEvery)
	}
}

// due lists the words of the policy that only the name services can know and
// have not told of for a while: first those that were asked for longest ago, so
// that one which never answers does not keep others from their turn.
func (d *Database) due() []Question {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.look()
	now := d.o.Now()
	var list []Question
	add := func(q Question) {
		if a, ok := d.known[q]; q.askable() && (!ok || now-a.at >= refreshEvery) {
			list = append(list, q)
		}
	}
	for text := range d.words.Users {
		if q, local := d.questionOf(text); !local {
			add(q)
		}
	}
	for text := range d.words.Groups {
		if _, local := d.files.groups[text]; !local {
			add(Question{group, text})
		}
	}
	slices.SortFunc(list, func(a, b Question) int {
		return cmp.Or(cmp.Compare(d.tried[a].at, d.tried[b].at), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return list
}

// Caller is the user of a number that is not in a policy; known is false as long
// as the name services may still name it. They are asked beside the loop.
func (d *Database) Caller(uid uint32) (u *User, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current()
	return d.caller(uid)
}

// Name is a number's name for messages alone, "" if it is not known: the files are
// not looked at for it.
func (d *Database) Name(uid uint32) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.view == nil {
		d.current()
	}
	if u, _ := d.caller(uid); u != nil {
		return u.Name
	}
	return ""
}

func (d *Database) caller(uid uint32) (u *User, known bool) {
	if d.files.byUID[uid] == nil {
		d.lookUp(numbered(uid))
	}
	if u := d.files.byUID[uid]; u != nil {
		return u, true
	}
	for _, u := range d.view.users { // a word's answer is as good as one of its own
		if u.UID == uid && u.Named() {
			return u, true
		}
	}
	q := Question{passwd, decimal(uid)}
	a, known := d.known[q]
	d.wonder(q, true)
	return a.user, known || d.o.Ask == nil
}

// wonder has the name services asked soon, if they have not been for a while.
func (d *Database) wonder(q Question, whether bool) {
	a, known := d.known[q]
	if !whether || d.o.Ask == nil || !q.askable() || known && d.o.Now()-a.at < refreshEvery || d.curious[q] || len(d.curious) >= maxCurious {
		return
	}
	d.curious[q] = true
	select {
	case d.wake <- struct{}{}:
	default: // it is about to be
	}
}

// Await waits until it is known whether a number has a name, or for so long.
func (d *Database) Await(uid uint32, patience time.Duration) {
	late := time.After(patience)
	for {
		d.mu.Lock()
		told := d.told
		d.mu.Unlock()
		if !d.Standing(uid).Pending {
			return
		}
		select {
		case <-told:
		case <-late:
			return
		}
	}
}

const (
	maxCurious    = 1024            // numbers that are to be asked for
	maxOnce       = 16              // of them in one round
	strangerEvery = 2 * time.Second // a round for them: that is all that whoever has many numbers costs
)

func (d *Database) strangers() []Question {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Question
	for q := range d.curious {
		if len(list) == maxOnce {
			break
		}
		delete(d.curious, q)
		list = append(list, q)
	}
	return list
}

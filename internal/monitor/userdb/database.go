package userdb

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"deputy/internal/monitor/clock"
)

// What the name services said counts for so long.
const (
	staleAfter   = 5 * time.Minute
	refreshEvery = time.Minute
)

// Options say where the user database is. The zero value is this machine's, with
// local files alone.
type Options struct {
	Passwd, Group string               // default: /etc/passwd and /etc/group
	Subuid        string               // default: /etc/subuid, if Passwd has its default too
	Ask           Asker                // of names that these lack; nil: nobody is asked
	Changed       func()               // other words of the policy stand for somebody than before; it must not block
	Tell          func(text string)    // which, and why; neither must this
	Now           func() time.Duration // a clock that never goes back, and on while the machine sleeps
}

// Database is safe for concurrent use.
type Database struct {
	o      Options
	asking chan struct{} // as many places are full as rounds are under way

	wake chan struct{} // of one place, full while there is a number to be asked for

	mu            sync.Mutex // guards what follows
	passwd, group file       // on Linux
	subuid        file       // a missing one is no error
	files         *files
	words         Words
	known         map[Question]answer
	tried         map[Question]attempt
	curious       map[Question]bool // of callers: what nobody knows yet, or has not said for a while
	told          chan struct{}     // closed when the name services have said something
	trouble       string            // why the last round was not answered whole; "": it was
	view          *View             // of the names as they are; nil: it is to be made anew
	seen          *View             // the view before this one
	version       uint64
	until         time.Duration // when view is to be made anew, whatever the files say
	lost          map[word]lack // words that stood for nobody when that was last told
}

// Open has read nothing yet, and no policy.
func Open(o Options) *Database {
	if o.Passwd == "" {
		o.Passwd, o.Group, o.Subuid = "/etc/passwd", "/etc/group", "/etc/subuid"
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	if o.Now == nil {
		o.Now = func() time.Duration { return time.Duration(clock.Now()) }
	}
	return &Database{
		o: o, asking: make(chan struct{}, rounds), wake: make(chan struct{}, 1),
		passwd: file{path: o.Passwd}, group: file{path: o.Group}, subuid: file{path: o.Subuid},
		words: NewWords(), known: map[Question]answer{}, tried: map[Question]attempt{}, curious: map[Question]bool{}, told: make(chan struct{}), lost: map[word]lack{},
	}
}

// Adopt makes the words of a policy those that count. From now on each has the
// number that stands there.
func (d *Database) Adopt(w Words) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.words, d.view, d.lost = w.clone(), nil, map[word]lack{}
	d.make()
	d.lost = maps.Clone(d.view.gone) // the load has told of these
}

// View is the user database as it is now.
func (d *Database) View() *View {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current()
	return d.view
}

// Recent is View without a look at the files: as it was at the last decision, which is soon
// enough for whose limits count.
func (d *Database) Recent() *View {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.view == nil {
		d.current()
	}
	return d.view
}

// current looks at the files, and makes the view anew if anything has changed.
func (d *Database) current() {
	now := d.o.Now()
	if changed := d.look(); !changed && d.view != nil && now < d.until {
		return
	}
	if before := d.version; d.make() && before > 0 {
		d.o.Changed()
	}
	d.tell()
}

// make makes the view anew, and says whether anybody has a word who had it not.
func (d *Database) make() bool {
	d.look()
	d.forget(d.o.Now())
	v := &View{users: map[string]*User{}, groups: map[string]uint32{}, gone: map[word]lack{}, ranges: d.resolve()}
	for text, bound := range d.words.Users {
		u, missing := d.user(text)
		switch {
		case u == nil:
			v.gone[word{false, text}] = missing
		case bound != NoID && bound != u.UID:
			v.gone[word{false, text}] = changed(word{false, text}, bound, u.UID)
		default:
			d.words.Users[text], v.users[text] = u.UID, u
		}
	}
	for text, bound := range d.words.Groups {
		gid, ok, missing := d.gid(text)
		switch {
		case !ok:
			v.gone[word{true, text}] = missing
		case bound != NoID && bound != gid:
			v.gone[word{true, text}] = changed(word{true, text}, bound, gid)
		default:
			d.words.Groups[text], v.groups[text] = gid, gid
		}
	}
	other := d.seen == nil || !v.same(d.seen)
	if other {
		d.version++
	}
	d.view, d.seen = v, v
	return other
}

// same says whether the same users and groups have the words, and their numbers.
func (v *View) same(w *View) bool {
	return maps.EqualFunc(v.users, w.users, func(a, b *User) bool { return a.UID == b.UID }) && maps.Equal(v.groups, w.groups) &&
		slices.Equal(v.ranges, w.ranges)
}

// Version is another number after each change of who has a word.
func (d *Database) Version() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current()
	return d.version
}

// forget drops what the name services said too long ago, and says until when the
// rest counts.
func (d *Database) forget(now time.Duration) {
	d.until = now + staleAfter
	maps.DeleteFunc(d.tried, func(_ Question, a attempt) bool { return a.at+2*staleAfter <= now })
	for q, a := range d.known {
		if ends := a.at + staleAfter; ends <= now {
			delete(d.known, q)
		} else {
			d.until = min(d.until, ends)
		}
	}
}

// changed is what is wrong with a word that stands for another than it did.
func changed(w word, before, now uint32) lack {
	id := "uid"
	if w.group {
		id = "gid"
	}
	return lack{reason: fmt.Sprintf("%s has %s %d now, and had %d when the policy was loaded", w, id, now, before),
		remedy: "if that is who is meant: deputy reload"}
}

// tell tells of the words that have come to stand for nobody, or for somebody
// again, since it was last told. One that the local files have just lost is told
// of when the name services were asked for it, too.
func (d *Database) tell() {
	for _, w := range slices.SortedFunc(maps.Keys(d.view.gone), compare) {
		now := d.view.gone[w]
		if before, told := d.lost[w]; now.unasked || told && (now.unknown || !before.unknown) {
			continue
		}
		d.lost[w] = now
		d.o.Tell(now.reason + ": rules that name it grant nothing, and no task runs as it; " + now.remedy)
	}
	for _, w := range slices.SortedFunc(maps.Keys(d.lost), compare) {
		if _, gone := d.view.gone[w]; !gone {
			delete(d.lost, w)
			d.o.Tell(w.String() + " is known again")
		}
	}
}

func compare(a, b word) int {
	if a.group != b.group {
		if a.group {
			return 1
		}
		return -1
	}
	if a.text < b.text {
		return -1
	}
	return 1
}

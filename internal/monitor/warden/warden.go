// Package warden keeps a server alive, and holds it captive: it starts deputy-server as a
// user of its own, confined before its first instruction, greets it, streams the journal
// to it, and starts it again when it dies, when it has to be told something else, and for
// whatever it does that breaks the protocol. There is one server at most, and none is
// greeted that is not proved to be confined as it was planned.
//
// What a server asks for is given to the monitor, unread beyond its fields.
package warden

import (
	"context"
	"log"
	"os"
	"reflect"

	"deputy/internal/monitor/confine"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/site"
	"deputy/internal/wall"
)

// Loop owns the monitor's state, and some of ours.
type Loop interface {
	Post(do func())    // has do called by the loop
	Do(do func()) bool // the same, and returns when that is done; false: the loop is over
}

// Options are what a warden needs of others.
type Options struct {
	Paths    site.Paths
	Up       bool     // `deputy up`: on Windows the server then runs as we do
	Confiner []string // argv of what confines the server, and becomes it; none: it is not confined
	Started  string   // when the monitor began, as JSON shows times
	Log      *log.Logger
	Lost     func(user string, uid uint32) string // why a user no longer has its number; "" if it has
	Progress func() *os.File                      // where tasks tell their progress; the server reads it

	Loop    Loop
	Now     func() Now                             // the loop alone calls it
	Hear    func(peer *wall.Peer, r *wall.Request) // gives a request of the server its turn; beside the loop
	Serving func()                                 // a server serves; the loop alone calls it
}

// Reception passes the connections of callers to a server.
type Reception interface {
	Open(door *wall.Door) error // from now on, through this door
	Shut()                      // none any more: its server is gone
	Retire()                    // no new one: the server is to answer what it has, and end
}

// Host is what a server is told of where tasks run.
type Host interface {
	Proof() string
	Weakness() string
	TasksPath() string
}

// Warden keeps one server. The loop calls its methods, unless they say otherwise.
type Warden struct {
	o         Options
	user      User
	journal   *journal.Journal
	host      Host
	reception Reception

	peer    *wall.Peer    // the loop's; nil: no server lives
	greeted wall.Greeting // the loop's: what the server that lives, or is being started, was told
	planned *confine.Plan // the loop's: what that server may; nil: it is not confined
	short   bool          // the loop's: it was started while the disk was full

	renew  chan struct{} // holds one when the server is to be started anew
	retire chan struct{} // closed: the server is to end, and none to follow
	served chan struct{} // closed: none follows
}

// New makes a warden that has started nothing yet.
func New(o Options) *Warden {
	return &Warden{o: o, renew: make(chan struct{}, 1), retire: make(chan struct{}), served: make(chan struct{})}
}

// User is whom the server runs as, until deputyd is started anew.
type User struct {
	Word     string // as deputy.toml names it; "": it runs as we do
	UID, GID int    // GID is also the group that reads tasks' output; Windows has no such numbers
}

// ChooseUser settles whom servers run as. It comes before Start.
func (w *Warden) ChooseUser(set *manifest.Policy) User {
	w.user = User{UID: os.Geteuid(), GID: os.Getegid()}
	if u := set.Config.Server.User; u != nil && site.Root() {
		w.user = User{Word: u.Word(), UID: int(u.UID), GID: int(u.GID)}
	}
	return w.user
}

// User is whom servers run as. Any goroutine may call it.
func (w *Warden) User() User { return w.user }

// Start keeps a server alive beside the loop, until ctx ends or it is retired. It comes
// before the loop.
func (w *Warden) Start(ctx context.Context, j *journal.Journal, h Host, r Reception) {
	w.journal, w.host, w.reception = j, h, r
	go func() {
		defer close(w.served)
		w.keep(ctx)
	}()
}

// Retire has the server answer what it has and end, and none follow, and waits for that.
// The loop must not call it.
func (w *Warden) Retire() {
	close(w.retire)
	w.Wait()
}

// Wait waits until no server lives and none follows. The loop must not call it.
func (w *Warden) Wait() { <-w.served }

// RoomAgain has a server started anew that was started while the disk was full.
func (w *Warden) RoomAgain() {
	if w.short {
		w.Replace()
	}
}

// Advanced tells the server that the journal has more.
func (w *Warden) Advanced() {
	if w.peer != nil {
		w.peer.Advanced()
	}
}

// Policy tells the server that what it was told of what callers may is void.
func (w *Warden) Policy(digest string) {
	if w.peer != nil {
		w.peer.Policy(digest)
	}
}

// Draining tells the server whether something new is taken.
func (w *Warden) Draining(on bool) {
	if w.peer != nil {
		w.peer.Draining(on)
	}
}

// Renew has the server started anew if it was told of other front doors than there are
// to be, or may reach other files: that is settled at its start.
func (w *Warden) Renew() {
	now := w.greeting(w.o.Now())
	now.Policy, now.Draining, now.Last, now.Recent = w.greeted.Policy, w.greeted.Draining, w.greeted.Last, w.greeted.Recent
	if reflect.DeepEqual(now, w.greeted) && reflect.DeepEqual(w.plan(w.o.Now().Set, &now), w.planned) {
		return
	}
	w.Replace()
}

// Replace has the server end in good order, and another started. Any goroutine may call it.
func (w *Warden) Replace() {
	select {
	case w.renew <- struct{}{}:
	default: // it is about to be
	}
}

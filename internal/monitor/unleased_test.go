package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/state"
	"deputy/internal/wall"
)

// short is a journal whose reserve is not whole.
type short struct{ *journal.Journal }

func (short) Short() error { return errors.New("the disk is full") }

// While nothing new can be recorded, requests that change nothing are answered
// without a lease. Sent again to the next monitor they are refused all the same.
func TestWhatWasAnsweredWithoutALease(t *testing.T) {
	v := newVerifier(t)
	read := func() wall.Request {
		return v.sign("panel", v.secrets["panel"][0], wall.HTTP, "GET", "/v1/tasks", "", "", "")
	}
	restart := func() {
		v.end(false)
		v.begin()
	}
	refused := func(r wall.Request, why string) {
		t.Helper()
		if o := v.ask(r)[0]; !unauthenticated(o) || !strings.Contains(o.Error.Detail, why) {
			t.Errorf("answered with %+v (%v)", o, o.Error)
		}
	}
	served := func(r wall.Request) {
		t.Helper()
		if o := v.ask(r)[0]; o.Error != nil {
			t.Error(o.Error)
		}
	}
	restart()
	served(read()) // a start that has its reserve refuses nobody

	v.end(false)
	v.now = v.now.Add(2 * state.LeaseTime * time.Second) // the lease of the read above is over
	r := read()
	if err := os.Remove(filepath.Join(v.o.Paths.Journal(), "reserve")); err != nil {
		t.Fatal(err)
	}
	v.begin() // after one that had used its reserve
	refused(r, "before deputy was started")
	v.now = v.now.Add(2 * state.LeaseTime * time.Second)
	served(read())

	v.now = v.now.Add(2 * state.LeaseTime * time.Second)
	r = read()
	full := make(chan bool)
	v.post(func() { v.ledger.Use(short{v.journal}); v.ledger.Synced(); full <- true })
	<-full
	call := v.sign("panel", v.secrets["panel"][0], wall.HTTP, "POST", "/v1/actions/m/stop", "", "", `{"n":1}`)
	served(r)
	if o := v.ask(call)[0]; o.Error == nil || o.Error.Code != deputy.NotDurable {
		t.Errorf("a call on a full disk: %+v (%v)", o, o.Error)
	}
	v.post(func() { v.ledger.Use(v.journal); v.ledger.Synced(); full <- true }) // there is room again
	<-full
	if err := v.journal.Flush(); err != nil {
		t.Fatal(err)
	}
	restart()
	refused(r, "before deputy was started")
	refused(call, "before deputy was started")
}

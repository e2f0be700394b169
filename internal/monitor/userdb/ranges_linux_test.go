package userdb

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRanges(t *testing.T) {
	text := "alice:100000:65536\nbob:165536:65536\n# comment\nbad\nnone:5:0\nnobody:x:1\nbob:165540:10\ncarol:300000:10\ndave:300005:10\nlast:4294967290:99999999999999\n1001:500:1\n:7:7\n"
	var got []string
	for _, s := range parseRanges([]byte(text)) {
		got = append(got, fmt.Sprintf("%d-%d %s", s.first, s.last, s.owner))
	}
	want := []string{"500-500 1001", "100000-165535 alice", "165536-231071 bob", "300000-300014 ", "4294967290-4294967295 last"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// subuid gives the site a file of ranges.
func (s *site) subuid(text string) {
	s.write("subuid", text)
	s.Database.subuid.path = s.dir + "/subuid"
}

func TestStanding(t *testing.T) {
	s := newSite(t, false)
	s.subuid("alice:100000:65536\n1001:33:1\nalice:1000:5\nghost:200000:10\nalice:300000:10\nweb:300005:10\nweb:400000:2\n")
	for uid, want := range map[uint32]struct {
		account uint32
		why     string
	}{
		0:      {0, ""},
		1001:   {1001, ""}, // in a range of her own
		1002:   {1001, "uid 1002 lies in a range of alice's (/etc/subuid): neither a name nor a group of its counts"},
		33:     {1001, "uid 33 lies in a range of uid 1001's (/etc/subuid): neither a name nor a group of its counts"},
		100000: {1001, "uid 100000 lies in a range of alice's (/etc/subuid): neither a name nor a group of its counts"},
		165535: {1001, "uid 165535 lies in a range of alice's (/etc/subuid): neither a name nor a group of its counts"},
		165536: {165536, "uid 165536 has no name: no group of its counts"},
		200004: {200000, "uid 200004 lies in a range of ghost's (/etc/subuid): neither a name nor a group of its counts"},
		300012: {300000, "uid 300012 lies in a range of several users' (/etc/subuid): neither a name nor a group of its counts"},
		400001: {1001, "uid 400001 lies in a range of web's (/etc/subuid): neither a name nor a group of its counts"}, // web's own is alice's
	} {
		if got := s.View().Account(uid); got != want.account {
			t.Errorf("%d is counted as %d, want %d", uid, got, want.account)
		}
		if got := s.Standing(uid); got != (Standing{Why: want.why}) {
			t.Errorf("%d: %+v\nwant %s", uid, got, want.why)
		}
	}
	for uid, want := range map[uint32]bool{1001: true, 0: false, 200000: true, 165536: false} {
		if got := s.View().Shares(uid); got != want {
			t.Errorf("others' limits are those of %d: %v", uid, got)
		}
	}
	before := s.Version()
	s.subuid("")
	if got := s.Standing(33); got != (Standing{}) || s.View().Account(33) != 33 || s.Version() == before {
		t.Errorf("after the range was taken back: %+v", got)
	}
	s.Database.subuid.path = s.dir // what is there and cannot be read leaves nobody a group
	if got := s.Standing(1001); !strings.Contains(got.Why, "whether uid 1001 has a name is not known: cannot read") {
		t.Errorf("with ranges that cannot be read: %+v", got)
	}
}

// A name in a range is nobody's, also to a rule.
func TestANameInARange(t *testing.T) {
	s := newSite(t, false)
	r := s.Read()
	u, _, _ := r.User("web")
	s.Adopt(r.Words)
	if uid, ok := s.View().UID("web"); !ok || uid != 33 {
		t.Errorf("web is %d, %v", uid, ok)
	}
	if reason, _ := r.Borrowed(u); reason != "" {
		t.Error(reason)
	}
	s.subuid("alice:30:5\n")
	if uid, ok := s.View().UID("web"); ok {
		t.Errorf("web is still %d", uid)
	}
	if u := s.View().User("web"); u == nil {
		t.Error("no task can run as web any more")
	}
	reason, remedy := s.Read().Borrowed(u)
	if want := `the user "web" has uid 33, which alice may take in a user namespace (/etc/subuid)`; reason != want || remedy != `correct /etc/subuid, or name the number: "uid:33"` {
		t.Errorf("%s; %s", reason, remedy)
	}
}

// Whether a number has a name is asked of the name services at once, and again
// before it is forgotten.
func TestPendingNumbers(t *testing.T) {
	s := newSite(t, true)
	over, ended := make(chan struct{}), make(chan struct{})
	s.answer[Question{passwd, "5001"}] = Said{Entry: "eve:x:5001:5001::/:/bin/sh", Groups: "5001 50"}
	if got := s.Standing(5001); !got.Pending {
		t.Errorf("at first: %+v", got)
	}
	go func() { s.Keep(over); close(ended) }()
	s.Await(5001, 20*time.Second)
	close(over)
	<-ended
	if got := s.Standing(5001); got != (Standing{}) {
		t.Errorf("once it is known: %+v", got)
	}
	if len(s.curious) > 0 {
		t.Errorf("it is asked for again: %v", s.curious)
	}
	s.now += refreshEvery
	if got := s.Standing(5001); got != (Standing{}) {
		t.Errorf("a minute later: %+v", got)
	}
	if list := s.strangers(); !slices.Equal(list, []Question{{passwd, "5001"}}) {
		t.Errorf("asked for again are %v", list)
	}
}

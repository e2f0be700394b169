package signers

import (
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/state"
	"deputy/internal/request"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// paper is a ledger that keeps what it is told.
type paper struct {
	state   *state.State
	records []*deputy.Event
	full    error
}

func (p *paper) Record(e *deputy.Event, _ ledger.After) {
	p.records = append(p.records, e)
	p.state.Apply(e)
}
func (p *paper) Last() uint64      { return uint64(len(p.records)) }
func (p *paper) Unwritable() error { return p.full }

// desk has two keys, one of them of the original's scheme, and a loop that runs.
func desk(t *testing.T, now *time.Time) (*Signers, *paper) {
	t.Helper()
	p := &paper{state: state.New()}
	l := loop.New(clock.Clock{Boot: "this", Now: func() int64 { return int64(time.Hour) }, Wall: func() time.Time { return *now }})
	s := New(Options{State: p.state, Ledger: p, Loop: l, Routes: request.Routes()})
	config := &manifest.Config{Keys: map[string]manifest.CallerSettings{"old": {Legacy: true}}}
	config.Server.Name = "gate1"
	s.Adopt(&manifest.Policy{Config: config})
	s.AdoptKeys(Keys{"panel": {{text: []byte("a secret"), name: "seal"}}, "old": {{text: []byte("an old one"), name: "seal2"}}})
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run() }()
	t.Cleanup(func() { l.End(); <-ended })
	return s, p
}

func signedBy(key, secret string, now time.Time, method, target, body string) *wall.Request {
	covered := signature.Request{Method: method, Audience: "gate1", Target: target, Body: []byte(body)}
	return &wall.Request{
		Kind: wall.Signed, ID: 7, Transport: wall.HTTP, Method: method, Target: target, Body: covered.Body,
		Authorization: signature.Sign(key, []byte(secret), now.Unix(), covered).String(),
	}
}

// Who signed and what is asked come out of the bytes that were signed; the same bytes
// are refused the second time, and those of another secret the first time.
func TestASignatureIsGoodOnce(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, _ := desk(t, &now)
	r := signedBy("panel", "a secret", now, "POST", "/v1/tasks/x/stop", `{"grace":"5s"}`)
	by, asked, refusal := s.Prove(r)
	if refusal != nil {
		t.Fatal(refusal)
	}
	if by != "key:panel" || asked.Kind != wall.Stop || asked.Task != "x" || asked.GraceMS != 5000 || asked.ID != 7 || asked.Nonce == nil {
		t.Errorf("%s asks for %+v", by, asked)
	}
	if _, _, refusal = s.Prove(r); refusal == nil || refusal.Code != deputy.NotAuthenticated {
		t.Errorf("the same again: %v", refusal)
	}
	if _, _, refusal = s.Prove(signedBy("panel", "another", now, "GET", "/v1/tasks", "")); refusal == nil || refusal.Code != deputy.NotAuthenticated {
		t.Errorf("of another secret: %v", refusal)
	}
	if _, _, refusal = s.Prove(signedBy("nobody", "a secret", now, "GET", "/v1/tasks", "")); refusal == nil || refusal.Code != deputy.NotAuthenticated {
		t.Errorf("of a key that is none: %v", refusal)
	}
}

// Of a message in the original's scheme nothing but module and signature is looked at
// before these belong together: whatever else is wrong with it is not told.
func TestALegacyMessageIsReadOnlyOnceItIsVerified(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, _ := desk(t, &now)
	ask := func(secret, rest string) *deputy.Error {
		mac := signature.Legacy([]byte(secret), "scan")
		_, _, refusal := s.Prove(&wall.Request{Kind: wall.Signed, Transport: wall.Legacy, Body: []byte("module: scan\nsignature: " + mac + "\n" + rest + "\n\n")})
		return refusal
	}
	const broken = "params: {not JSON\n: no key"
	if refusal := ask("a guess", broken); refusal == nil || refusal.Code != deputy.NotAuthenticated {
		t.Errorf("one that is not verified: %v", refusal)
	}
	if refusal := ask("a secret", broken); refusal == nil || refusal.Code != deputy.NotAuthenticated {
		t.Errorf("one of a key that is not for this scheme: %v", refusal)
	}
	if refusal := ask("an old one", broken); refusal == nil || refusal.Code != deputy.BadParam {
		t.Errorf("one that is verified, and broken: %v", refusal)
	}
	if refusal := ask("an old one", "action: start"); refusal != nil {
		t.Errorf("one that is verified, and whole: %v", refusal)
	}
}

// A read is answered under a lease: one record for all of them within its time, and the
// next monitor takes nothing that was signed within it.
func TestReadsAreAnsweredUnderALease(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, p := desk(t, &now)
	read := func(s *Signers) *wall.Request {
		t.Helper()
		_, asked, refusal := s.Prove(signedBy("panel", "a secret", now, "GET", "/v1/tasks", ""))
		if refusal != nil {
			t.Fatal(refusal)
		}
		return asked
	}
	first := s.Lease(read(s))
	now = now.Add((state.LeaseTime - 1) * time.Second)
	if again := s.Lease(read(s)); again != first || len(p.records) != 1 {
		t.Errorf("the lease is record %d, then %d, of %d", first, again, len(p.records))
	}
	next, _ := desk(t, &now)
	next.State, next.Ledger = s.State, p
	next.Begin(false)
	if refusal := next.TooEarly(read(next)); refusal == nil || refusal.RetryAfter != 2 {
		t.Errorf("the next monitor: %+v", refusal)
	}
	now = now.Add(2 * time.Second)
	if refusal := next.TooEarly(read(next)); refusal != nil {
		t.Errorf("the next monitor, behind the lease: %v", refusal)
	}
}

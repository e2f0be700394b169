package monitor

import (
	"errors"
	"time"

	"deputy"
	"deputy/internal/keyvalue"
	"deputy/internal/monitor/admission"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"deputy/internal/request"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// signed serves a request that names its caller by a signature. First the
// signature is verified over the exact bytes; only then is anything in them
// parsed, and what is asked for comes from them alone. It runs beside the loop,
// which alone knows what was used before.
func (m *Monitor) signed(peer *wall.Peer, r *wall.Request) {
	proven := m.verify(r)
	err := errors.New("deputy ends") // unless the loop takes it
	m.loop.Do(func() {
		if m.signers.Load() != proven.by { // keys were added or removed meanwhile
			proven = m.verify(r)
		}
		err = m.accept(r, proven)
	})
	var asked *wall.Request
	if err == nil {
		asked, err = proven.by.askedFor(r)
	}
	if err != nil {
		m.loop.Do(func() { m.signedReply(peer, r, policy.Identity{}).Refuse(0, refusalOf(err)) })
		return
	}
	asked.ID, asked.Size, asked.Nonce = r.ID, r.Size, r.Nonce
	id := policy.Identity{Caller: proven.caller, EndUser: asked.EndUser}
	j := m.admission.Judge(asked, id)
	m.loop.Do(func() { m.serveSigned(peer, asked, id, j) })
}

// serveSigned does what a verified request asks for, once the next monitor will
// know of its nonce.
func (m *Monitor) serveSigned(peer *wall.Peer, wanted *wall.Request, id policy.Identity, j *admission.Judged) {
	a := asked{wanted, id, j, m.signedReply(peer, wanted, id)}
	if wanted.Nonce != nil {
		if floor := max(m.floor, m.floors[leaseOf(wanted)]); wanted.Nonce.Time <= floor {
			e := deputy.Refuse(deputy.NotDurable,
				"cannot take this request yet: it was signed before deputy was started, or within %d s of it; sign it anew, and ask again in a moment", state.LeaseTime)
			e.RetryAfter = int(max(1, floor+1-m.o.Now().Unix())) // then a fresh signature is good
			a.reply.Refuse(0, e)
			return
		}
	}
	switch {
	case wanted.Kind == wall.Call:
		m.handle(a)
		return
	case !reads(wanted):
		// A stop that cannot be recorded is done all the same. Sent again to the
		// next monitor it stops the same task, and so nothing.
		if m.ledger.Unwritable() == nil {
			m.ledger.Record(&deputy.Event{Type: deputy.NonceUsed, Caller: id.Caller, Nonce: wanted.Nonce}, ledger.After{})
		}
		m.handle(a)
		return
	}
	m.ledger.WhenDurable(m.lease(wanted), func(uint64) { m.handle(a) }, func(err *deputy.Error) { a.reply.Refuse(0, err) })
}

// signedReply answers a request that id has signed.
func (m *Monitor) signedReply(peer *wall.Peer, r *wall.Request, id policy.Identity) *signedReply {
	return &signedReply{
		reply: reply{ledger: m.ledger, peer: peer, r: r},
		lease: func() uint64 {
			if r.Nonce == nil || reads(r) {
				return 0
			}
			return m.lease(r)
		},
		rights: func() deputy.Rights { return m.policy.Rights(id) },
	}
}

// reads says whether a request changes nothing whatever it is told.
func reads(r *wall.Request) bool {
	return r.Kind == wall.Rights || r.Kind == wall.Actions || r.Kind == wall.Explain
}

// leaseOf names the lease under which a signed request is answered if nothing
// is recorded of it.
func leaseOf(r *wall.Request) state.Lease {
	if reads(r) {
		return state.Lease{Secret: r.Nonce.Secret, Kind: state.LeaseReads}
	}
	return state.Lease{Secret: r.Nonce.Secret, Kind: state.LeaseRefused}
}

// lease sees to it that a signed request can be answered without a record of
// its nonce, and gives the record that must be durable before.
func (m *Monitor) lease(r *wall.Request) uint64 {
	l := leaseOf(r)
	if r.Nonce.Time > m.state.Nonces.Leased(l) && m.ledger.Unwritable() == nil {
		m.ledger.Record(&deputy.Event{Type: deputy.NonceUsed, Nonce: &deputy.Nonce{Secret: l.Secret, Nonce: l.Kind, Time: r.Nonce.Time + state.LeaseTime}}, ledger.After{})
		m.leases[l] = m.ledger.Last()
	}
	return m.leases[l]
}

// leasesTakenBack: numbers of records that are none any more are given anew.
func (m *Monitor) leasesTakenBack() {
	durable := m.ledger.Durable()
	for l, seq := range m.leases {
		m.leases[l] = min(seq, durable)
	}
}

// leaseMissed makes the leases for what was answered while none was recorded.
func (m *Monitor) leaseMissed() {
	for secret := range m.recent {
		for _, kind := range []string{state.LeaseReads, state.LeaseRefused} {
			l, newest := state.Lease{Secret: secret, Kind: kind}, m.recent.Newest(secret)
			if newest > m.state.Nonces.Leased(l) {
				m.ledger.Record(&deputy.Event{Type: deputy.NonceUsed, Nonce: &deputy.Nonce{Secret: secret, Nonce: kind, Time: newest}}, ledger.After{})
				m.leases[l] = m.ledger.Last()
			}
		}
	}
}

// endLeases shortens them to what was answered indeed, for a next monitor that
// is started at once.
func (m *Monitor) endLeases() {
	for l, until := range m.state.Nonces.Leases() {
		if last := max(m.recent.Newest(l.Secret), m.floors[l]); last < until && m.ledger.Unwritable() == nil {
			m.ledger.Record(&deputy.Event{Type: deputy.NonceUsed, Nonce: &deputy.Nonce{Secret: l.Secret, Nonce: l.Kind, Time: last}}, ledger.After{})
		}
	}
}

func refusalOf(err error) *deputy.Error {
	var refusal *deputy.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	return deputy.Refuse(deputy.BadRequest, "%v", err)
}

// signers are what signatures are verified by.
type signers struct {
	set  *manifest.Policy
	keys keys
}

// evidence is what a signature shows by itself.
type evidence struct {
	by     *signers
	caller deputy.Caller
	secret string // its name; empty: of the original's scheme
	signed signature.Authorization
	err    error // why it shows nothing
	wrong  bool  // and that is the signature's fault, not its form's
}

// signer is whose turn a signed request waits for, by what it says itself: that
// of a key, or of all who name none that there is.
func (m *Monitor) signer(r *wall.Request) deputy.Caller {
	a, err := signature.Parse(r.Authorization)
	if err != nil || len(m.signers.Load().keys[a.ID]) == 0 {
		return "key:"
	}
	return deputy.Caller("key:" + a.ID)
}

// verify finds the key that signed a request. Which of name, secret and signature
// was wrong is not told.
func (m *Monitor) verify(r *wall.Request) evidence {
	by := m.signers.Load()
	if r.Transport == wall.Legacy {
		return by.verifyLegacy(r)
	}
	a, err := signature.Parse(r.Authorization)
	if err != nil {
		return evidence{by: by, err: deputy.Refuse(deputy.NotAuthenticated, "%v", err)}
	}
	name := by.set.Config.Server.Name
	covered := signature.Request{Method: r.Method, Audience: name, Target: r.Target, IdempotencyKey: r.Key, EndUser: r.EndUser, Body: r.Body}
	if r.Transport == wall.Line {
		covered = signature.Request{Method: "TCP", Audience: name, Target: "/", Body: r.Body}
	}
	found := by.matching(a, covered)
	if found == "" {
		return evidence{by: by, wrong: true, err: deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: there is no key of this name, or the signature is not that of this request for the server %q", name)}
	}
	return evidence{by: by, caller: deputy.Caller("key:" + a.ID), secret: found, signed: a}
}

// matching gives the name of the secret that made a signature, or "". An
// unknown key costs the same as a wrong secret.
func (s *signers) matching(a signature.Authorization, covered signature.Request) string {
	secrets := s.keys[a.ID]
	if len(secrets) == 0 {
		a.Verify([]byte("no such key"), covered)
		return ""
	}
	found := ""
	for _, s := range secrets {
		if a.Verify(s.text, covered) {
			found = s.name
		}
	}
	return found
}

// accept takes evidence, if it is of now and was not used before.
func (m *Monitor) accept(r *wall.Request, e evidence) error {
	if e.err == nil && e.secret != "" {
		if err := m.timely(e.secret, e.signed); err != nil {
			e.err, e.wrong = err, true
		}
	}
	if e.wrong {
		m.unauthenticated++
	}
	if e.err == nil && e.secret != "" {
		r.Nonce = &deputy.Nonce{Secret: e.secret, Nonce: e.signed.Nonce, Time: e.signed.Time}
		m.recent.Use(r.Nonce)
	}
	return e.err
}

// timely refuses what is outside the window, was used before, or may have been
// used before this monitor can remember.
func (m *Monitor) timely(secret string, a signature.Authorization) error {
	now := m.o.Now().Unix()
	if now != m.forgot { // once a second: it looks at every nonce
		m.recent.Forget(now)
		m.state.Nonces.Forget(now)
		m.forgot = now
	}
	switch {
	case a.Time < now-signature.Window || a.Time > now+signature.Window:
		return deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: the signature's time is %d s from this server's clock, and may be at most %d; set the clocks right and sign anew", a.Time-now, signature.Window)
	case a.Time < m.known():
		return deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: what was signed before the machine was started, or until %d s after the journal was restored, may have been used before; sign the request anew, or again in %d s",
			signature.Window, m.known()-a.Time)
	case !m.state.Nonces.Fresh(secret, a.Nonce, a.Time) || !m.recent.Fresh(secret, a.Nonce, a.Time):
		return deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: this signature was used before, or is older than one that was forgotten; sign each request anew (if a clock was set back, a new secret works at once: deputy key new)")
	case m.recent.Crowded(secret):
		e := deputy.Refuse(deputy.RateLimited, "cannot authenticate: this secret has signed more than %d requests in two minutes", state.MaxNonces)
		e.RetryAfter = 60
		return e
	}
	return nil
}

// known is the time, in Unix seconds, from which on the nonces of whatever was
// signed are known: that of the machine's start, for its disk may have been set
// back before, or that of the journal's. It is reckoned from the clock as it is
// now, so that a clock that was wrong then locks nobody out.
func (m *Monitor) known() int64 {
	from := int64(0)
	if m.state.Known.Boot == m.loop.Boot {
		from = m.state.Known.NS
	}
	return m.o.Now().Add(time.Duration(from - m.loop.Now())).Unix()
}

// verifyLegacy finds the key of the original's scheme, which covers the module
// alone. Before that is done the message is searched for module and signature, and
// no more of it is read.
func (s *signers) verifyLegacy(r *wall.Request) evidence {
	name := s.legacyKey(keyvalue.Scan(r.Body))
	if name == "" {
		return evidence{by: s, wrong: true, err: deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: no key with legacy = true has made this signature of the module's name; better, sign with Deputy1")}
	}
	return evidence{by: s, caller: deputy.Caller("key:" + name)}
}

// legacyKey gives the name of the key that signed a module's name, or "".
func (s *signers) legacyKey(module, sig string) string {
	if module == "" {
		return ""
	}
	for name, secrets := range s.keys {
		if !s.set.Config.Keys[name].Legacy {
			continue
		}
		for _, s := range secrets {
			if signature.VerifyLegacy(s.text, module, sig) {
				return name
			}
		}
	}
	return ""
}

// legacyCall reads a message that was verified.
func legacyCall(r *wall.Request) (*wall.Request, error) {
	module, _ := keyvalue.Scan(r.Body)
	message, err := keyvalue.Parse(r.Body)
	switch {
	case err != nil:
		return nil, deputy.Refuse(deputy.BadParam, "%v", err)
	case message.Module != module: // two readers must not differ; see Scan
		return nil, deputy.Refuse(deputy.BadParam, "cannot read the message: its module can be read in two ways")
	}
	return callOf(message), nil
}

func callOf(message *keyvalue.Message) *wall.Request {
	return &wall.Request{
		Kind: wall.Call, Module: message.Module, Action: message.Action,
		Key: message.IdempotencyKey, EndUser: message.EndUser, Params: message.Params,
	}
}

// askedFor reads what a verified request asks for.
func (s *signers) askedFor(r *wall.Request) (*wall.Request, error) {
	if r.Transport == wall.Legacy {
		return legacyCall(r)
	}
	if r.Transport == wall.Line {
		message, err := keyvalue.Parse(r.Body)
		if err != nil {
			return nil, deputy.Refuse(deputy.BadParam, "%v", err)
		}
		if message.Authorization != "" {
			return nil, deputy.Refuse(deputy.BadParam, "cannot read the message: it has two Authorization lines")
		}
		return callOf(message), nil
	}
	at, err := request.ParseTarget(r.Target)
	if err != nil {
		return nil, deputy.Refuse(deputy.BadRequest, "%v", err)
	}
	asked, err := request.Read(r.Method, at, r.Body, s.maxBody)
	if err != nil {
		return nil, err
	}
	asked.Key, asked.EndUser = r.Key, r.EndUser
	return asked, nil
}

// maxBody is the longest body for an action, in bytes.
func (s *signers) maxBody(module, action string) int {
	if m := s.set.Modules[module]; m != nil && m.Actions[action] != nil {
		return int(m.Actions[action].MaxBody)
	}
	return request.MaxBody
}

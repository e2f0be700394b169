package signers

import (
	"time"

	"deputy"
	"deputy/internal/monitor/state"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// Each signature is good once, within its window of time. Whether it was used before is
// known, or it is refused: nothing is accepted from a time of which nothing is
// remembered.

// accept takes evidence, if it is of now and was not used before.
func (s *Signers) accept(r *wall.Request, e evidence) error {
	if e.err != nil || e.secret == "" {
		return e.err
	}
	if err := s.timely(e.secret, e.signed); err != nil {
		return err
	}
	r.Nonce = &deputy.Nonce{Secret: e.secret, Nonce: e.signed.Nonce, Time: e.signed.Time}
	s.recent.Use(r.Nonce)
	return nil
}

// timely refuses what is outside the window, was used before, or may have been
// used before this monitor can remember.
func (s *Signers) timely(secret string, a signature.Authorization) error {
	now := s.Loop.Wall().Unix()
	if now != s.forgot { // once a second: it looks at every nonce
		s.recent.Forget(now)
		s.State.Nonces.Forget(now)
		s.forgot = now
	}
	switch {
	case a.Time < now-signature.Window || a.Time > now+signature.Window:
		return deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: the signature's time is %d s from this server's clock, and may be at most %d; set the clocks right and sign anew", a.Time-now, signature.Window)
	case a.Time < s.known():
		return deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: what was signed before the machine was started, or until %d s after the journal was restored, may have been used before; sign the request anew, or again in %d s",
			signature.Window, s.known()-a.Time)
	case !s.State.Nonces.Fresh(secret, a.Nonce, a.Time) || !s.recent.Fresh(secret, a.Nonce, a.Time):
		return deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: this signature was used before, or is older than one that was forgotten; sign each request anew (if a clock was set back, a new secret works at once: deputy key new)")
	case s.recent.Crowded(secret):
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
func (s *Signers) known() int64 {
	from := int64(0)
	if s.State.Known.Boot == s.Loop.Boot {
		from = s.State.Known.NS
	}
	return s.Loop.Wall().Add(time.Duration(from - s.Loop.Now())).Unix()
}

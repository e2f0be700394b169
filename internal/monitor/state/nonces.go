package state

import (
	"deputy"
	"deputy/internal/signature"
)

// A nonce that was used is known until the window in which its signature was good has
// passed twice. What is forgotten raises the floor below which nothing is accepted, so
// forgetting never makes a signature good again.

// nonceLife is how long a nonce is remembered after its time, in seconds: twice
// the window, since a signer's clock may be ahead by one.
const nonceLife = 2 * signature.Window

// MaxNonces bounds what one secret may cost in memory and in a checkpoint.
const MaxNonces = 100_000

// Nonces are the used ones of each secret. When old ones are forgotten the
// secret's floor rises to the newest of them: nothing signed at or before the
// floor is accepted any more. So a clock that is set back reopens nothing, and
// a secret that was never used has no floor and always works.
type Nonces map[string]*used

type used struct {
	Floor  int64            `json:"floor"`            // Unix seconds
	Seen   map[string]int64 `json:"seen"`             // nonce -> its time
	Leases map[string]int64 `json:"leases,omitempty"` // kind -> Unix seconds
}

// Requests that change nothing leave no record of their own, and so no nonce
// for the next monitor to know. Instead the journal says in advance up to which
// time of signing such requests may be answered: a lease, one record for all
// requests of a secret within LeaseTime. The next monitor refuses what was
// signed up to there. In the journal a lease stands as a nonce of its kind.
const (
	LeaseReads   = "reads"
	LeaseRefused = "refused" // requests that would have changed something
	LeaseTime    = 5         // seconds
)

// Lease is one kind of one secret's.
type Lease struct{ Secret, Kind string }

// Fresh says whether a nonce was never used and is not too old to know.
func (n Nonces) Fresh(secret, nonce string, time int64) bool {
	u := n[secret]
	if u == nil {
		return true
	}
	_, seen := u.Seen[nonce]
	return !seen && time > u.Floor
}

// Crowded says whether a secret has used as many as are remembered.
func (n Nonces) Crowded(secret string) bool {
	u := n[secret]
	return u != nil && len(u.Seen) >= MaxNonces
}

// Use takes note of a nonce, or of a lease.
func (n Nonces) Use(x *deputy.Nonce) {
	if x == nil {
		return
	}
	u := n[x.Secret]
	if u == nil {
		u = &used{Seen: map[string]int64{}}
		n[x.Secret] = u
	}
	if x.Nonce == LeaseReads || x.Nonce == LeaseRefused {
		if u.Leases == nil {
			u.Leases = map[string]int64{}
		}
		u.Leases[x.Nonce] = x.Time
		return
	}
	u.Seen[x.Nonce] = x.Time
}

// Leased gives the time up to which a lease goes.
func (n Nonces) Leased(l Lease) int64 {
	if u := n[l.Secret]; u != nil {
		return u.Leases[l.Kind]
	}
	return 0
}

// Leases lists all of them.
func (n Nonces) Leases() map[Lease]int64 {
	all := map[Lease]int64{}
	for secret, u := range n {
		for kind, time := range u.Leases {
			all[Lease{secret, kind}] = time
		}
	}
	return all
}

// Newest gives the latest time that a secret was seen with.
func (n Nonces) Newest(secret string) int64 {
	u := n[secret]
	if u == nil {
		return 0
	}
	newest := u.Floor
	for _, time := range u.Seen {
		newest = max(newest, time)
	}
	return newest
}

// Forget drops nonces that are too old for any window at the time now.
func (n Nonces) Forget(now int64) {
	for _, u := range n {
		for nonce, time := range u.Seen {
			if time < now-nonceLife {
				delete(u.Seen, nonce)
				u.Floor = max(u.Floor, time)
			}
		}
	}
}

package monitor

import (
	"deputy"
	"deputy/internal/signature"
)

// nonceLife is how long a nonce is remembered after its time, in seconds: twice
// the window, since a signer's clock may be ahead by one.
const nonceLife = 2 * signature.Window

// maxNonces bounds what one secret may cost in memory and in a checkpoint.
const maxNonces = 100_000

// nonces are the used ones of each secret. When old ones are forgotten the
// secret's floor rises to the newest of them: nothing signed at or before the
// floor is accepted any more. So a clock that is set back reopens nothing, and
// a secret that was never used has no floor and always works.
type nonces map[string]*used

type used struct {
	Floor  int64            `json:"floor"`            // Unix seconds
	Seen   map[string]int64 `json:"seen"`             // nonce -> its time
	Leases map[string]int64 `json:"leases,omitempty"` // kind -> Unix seconds
}

// Requests that change nothing leave no record of their own, and so no nonce
// for the next monitor to know. Instead the journal says in advance up to which
// time of signing such requests may be answered: a lease, one record for all
// requests of a secret within leaseTime. The next monitor refuses what was
// signed up to there. In the journal a lease stands as a nonce of its kind.
const (
	leaseReads   = "reads"
	leaseRefused = "refused" // requests that would have changed something
	leaseTime    = 5         // seconds
)

// lease is one kind of one secret's.
type lease struct{ secret, kind string }

// fresh says whether a nonce was never used and is not too old to know.
func (n nonces) fresh(secret, nonce string, time int64) bool {
	u := n[secret]
	if u == nil {
		return true
	}
	_, seen := u.Seen[nonce]
	return !seen && time > u.Floor
}

// crowded says whether a secret has used as many as are remembered.
func (n nonces) crowded(secret string) bool {
	u := n[secret]
	return u != nil && len(u.Seen) >= maxNonces
}

// use takes note of a nonce, or of a lease.
func (n nonces) use(x *deputy.Nonce) {
	if x == nil {
		return
	}
	u := n[x.Secret]
	if u == nil {
		u = &used{Seen: map[string]int64{}}
		n[x.Secret] = u
	}
	if x.Nonce == leaseReads || x.Nonce == leaseRefused {
		if u.Leases == nil {
			u.Leases = map[string]int64{}
		}
		u.Leases[x.Nonce] = x.Time
		return
	}
	u.Seen[x.Nonce] = x.Time
}

// leased gives the time up to which a lease goes.
func (n nonces) leased(l lease) int64 {
	if u := n[l.secret]; u != nil {
		return u.Leases[l.kind]
	}
	return 0
}

// leases lists all of them.
func (n nonces) leases() map[lease]int64 {
	all := map[lease]int64{}
	for secret, u := range n {
		for kind, time := range u.Leases {
			all[lease{secret, kind}] = time
		}
	}
	return all
}

// newest gives the latest time that a secret was seen with.
func (n nonces) newest(secret string) int64 {
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

// forget drops nonces that are too old for any window at the time now.
func (n nonces) forget(now int64) {
	for _, u := range n {
		for nonce, time := range u.Seen {
			if time < now-nonceLife {
				delete(u.Seen, nonce)
				u.Floor = max(u.Floor, time)
			}
		}
	}
}

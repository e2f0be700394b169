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
	Floor int64            `json:"floor"` // Unix seconds
	Seen  map[string]int64 `json:"seen"`  // nonce -> its time
}

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

func (n nonces) use(x *deputy.Nonce) {
	if x == nil {
		return
	}
	u := n[x.Secret]
	if u == nil {
		u = &used{Seen: map[string]int64{}}
		n[x.Secret] = u
	}
	u.Seen[x.Nonce] = x.Time
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

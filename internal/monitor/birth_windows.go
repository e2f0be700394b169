package monitor

import (
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/site"
)

// credential is one of the two accounts that need no password, or nil for
// deputyd's own: manifest refuses every other.
func (b *birth) credential() *process.Credential {
	switch sid := b.action.User.SID; sid {
	case process.LocalService, process.NetworkService:
		if sid != site.SelfSID() {
			return &process.Credential{SID: sid}
		}
	}
	return nil
}

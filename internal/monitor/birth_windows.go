package monitor

import "deputy/internal/monitor/process"

// uid is for systems where a file belongs to a number.
func (b *birth) uid() int { return -1 }

// credential is one of the two accounts that need no password, or nil for
// deputyd's own: manifest refuses every other.
func (b *birth) credential() *process.Credential {
	switch sid := b.action.User.SID; sid {
	case process.LocalService, process.NetworkService:
		if sid != selfSID() {
			return &process.Credential{SID: sid}
		}
	}
	return nil
}

package birth

import (
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/site"
)

// credential is one of the two accounts that need no password, or nil for
// deputyd's own: manifest refuses every other.
func credential(a *manifest.Action) *process.Credential {
	switch sid := a.User.SID; sid {
	case process.LocalService, process.NetworkService:
		if sid != site.SelfSID() {
			return &process.Credential{SID: sid}
		}
	}
	return nil
}

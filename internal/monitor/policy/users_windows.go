package policy

import "deputy/internal/monitor/manifest"

// Now gives an action as it can be started at this moment; why says why it
// cannot. Whom it runs as is settled at the load: a SID is never given to another.
func (p *Policy) Now(a *manifest.Action) (now *manifest.Action, why string) {
	return a, a.Unusable
}

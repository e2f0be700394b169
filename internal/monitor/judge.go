package monitor

import (
	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

// judged is what the policy says of a request. It is found beside the loop, for
// the loop to act on: however much there was to look at, it costs the loop nothing.
type judged struct {
	policy *policy.Policy // by which,
	names  uint64         // and by which version of the user database

	refusal *deputy.Error
	plan    *policy.Plan // of a call
	outcome wall.Outcome // of what only asks
	text    []byte       // the same, as it is answered
	rights  deputy.Rights
}

// judge looks at a request. It may run beside the loop.
func (m *Monitor) judge(r *wall.Request, id policy.Identity) *judged {
	j := &judged{policy: m.deciding.Load(), names: m.users.Version()}
	j.look(r, id)
	j.text = j.outcome.Text() // it may be long, and the loop has no time
	return j
}

func (j *judged) look(r *wall.Request, id policy.Identity) {
	if r.Kind == wall.Call {
		j.plan, j.refusal = j.policy.Admit(id, r.Module, r.Action, r.Params)
		return
	}
	if r.Kind == wall.Rights || r.Kind == wall.Actions || r.Kind == wall.Stop { // the others ask it themselves, in its turn
		if j.refusal = j.policy.CheckEndUser(id); j.refusal != nil {
			return
		}
	}
	j.rights = j.policy.Rights(id)
	switch r.Kind {
	case wall.Rights:
		j.outcome.Rights = &j.rights
	case wall.Actions:
		if r.All {
			j.everybody(id)
			return
		}
		j.outcome.Rights, j.outcome.Actions = &j.rights, j.policy.Actions(id)
	case wall.Explain:
		switch {
		case r.As == "":
			j.explain(r, id)
		case !j.rights.Auditor:
			j.refusal = deputy.Refuse(deputy.NotAllowed, "%s may not ask on behalf of another: only an auditor may", id)
		}
	}
}

// holds says whether what was found still is so: neither policy nor names have
// changed since.
func (m *Monitor) holds(j *judged) bool {
	return j.policy == m.policy && j.names == m.users.Version()
}

// everybody finds who may do what, for auditors.
func (j *judged) everybody(id policy.Identity) {
	if !j.rights.Auditor {
		j.refusal = deputy.Refuse(deputy.NotAllowed, "%s may not see what others may do: only an auditor may", id)
		return
	}
	j.outcome.Rights, j.outcome.Actions = &j.rights, j.policy.Everybody()
}

// explain finds what asked may. What would run, and which rules do not hold, is
// told to those allowed and to auditors.
func (j *judged) explain(r *wall.Request, asked policy.Identity) {
	x := j.policy.Explain(asked, r.Module, r.Action, r.Params, j.rights.Auditor)
	if x.Error != nil && x.Error.Code != deputy.NotAllowed && !(x.Error.Code == deputy.BadParam && j.rights.Auditor) {
		j.refusal = x.Error
		return
	}
	if !x.Allowed && !j.rights.Auditor {
		x = deputy.Explanation{Allowed: false, Reason: x.Error.Detail}
	}
	j.outcome.Explain = &x
}

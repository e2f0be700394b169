package admission

import (
	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

// What the policy says of a request is found beside the loop and changes nothing. The
// loop acts on it only while it holds: under another policy or with other names it is
// found anew.

// Judged is what the policy says of a request. It is found beside the loop, for
// the loop to act on: however much there was to look at, it costs the loop nothing.
type Judged struct {
	policy *policy.Policy // by which,
	names  uint64         // and by which version of the user database

	Refusal *deputy.Error
	Text    []byte              // of what only asks: the outcome, as it is answered
	Queues  map[string][]string // that who asks may know of, with its actions; of what asks for queues
	plan    *policy.Plan        // of a call
	outcome wall.Outcome
	rights  deputy.Rights
}

// Judge looks at a request. It may run beside the loop.
func (ad *Admission) Judge(r *wall.Request, id policy.Identity) *Judged {
	j := &Judged{policy: ad.Policy(), names: ad.Users.Version()}
	j.look(r, id)
	j.Text = j.outcome.Text() // it may be long, and the loop has no time
	return j
}

func (j *Judged) look(r *wall.Request, id policy.Identity) {
	if r.Kind == wall.Call {
		j.plan, j.Refusal = j.policy.Admit(id, r.Module, r.Action, r.Params)
		return
	}
	if r.Kind == wall.Rights || r.Kind == wall.Actions || r.Kind == wall.Stop { // the others ask it themselves, in its turn
		if j.Refusal = j.policy.CheckEndUser(id); j.Refusal != nil {
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
	case wall.Queues, wall.Queue:
		j.Queues = j.policy.Queues(id)
	case wall.Explain:
		switch {
		case r.As == "":
			j.explain(r, id)
		case !j.rights.Auditor:
			j.Refusal = deputy.Refuse(deputy.NotAllowed, "%s may not ask on behalf of another: only an auditor may", id)
		}
	}
}

// Operator says whether who asks is one.
func (j *Judged) Operator() bool { return j.rights.Operator }

// Holds says whether what was found still is so: neither policy nor names have
// changed since.
func (ad *Admission) Holds(j *Judged) bool {
	return j.policy == ad.Policy() && j.names == ad.Users.Version()
}

// everybody finds who may do what, for auditors.
func (j *Judged) everybody(id policy.Identity) {
	if !j.rights.Auditor {
		j.Refusal = deputy.Refuse(deputy.NotAllowed, "%s may not see what others may do: only an auditor may", id)
		return
	}
	j.outcome.Rights, j.outcome.Actions = &j.rights, j.policy.Everybody()
}

// explain finds what asked may. What would run, and which rules do not hold, is
// told to those allowed and to auditors.
func (j *Judged) explain(r *wall.Request, asked policy.Identity) {
	x := j.policy.Explain(asked, r.Module, r.Action, r.Params, j.rights.Auditor)
	if x.Error != nil && x.Error.Code != deputy.NotAllowed && !(x.Error.Code == deputy.BadParam && j.rights.Auditor) {
		j.Refusal = x.Error
		return
	}
	if !x.Allowed && !j.rights.Auditor {
		x = deputy.Explanation{Allowed: false, Reason: x.Error.Detail}
	}
	j.outcome.Explain = &x
}

// Explain explains what another may, to an auditor. The name services may have to
// be asked for who that is, so that waits for nothing else.
func (ad *Admission) Explain(r *wall.Request, id policy.Identity, j *Judged, reply Reply) {
	if r.As == "" {
		reply.Text(j.Text)
		return
	}
	go func() {
		other, err := ad.Callers.Find(r.As)
		if err == nil {
			other.EndUser = id.EndUser
			j.explain(r, other)
			j.Text = j.outcome.Text()
		}
		ad.Loop.Post(func() {
			switch {
			case err != nil:
				reply.Refuse(0, deputy.Refuse(deputy.BadRequest, "%v", err))
			case j.Refusal != nil:
				reply.Refuse(0, j.Refusal)
			default:
				reply.Text(j.Text)
			}
		})
	}()
}

// Waits says whether what was found could be another if groups of the caller counted,
// of which whole are all: then it is better to wait until that is known.
func (j *Judged) Waits(r *wall.Request, whole policy.Identity) bool {
	return j.depends(r) && j.policy.Waits(whole)
}

// depends says whether what was found could be another if groups counted.
func (j *Judged) depends(r *wall.Request) bool {
	if j.Refusal != nil {
		return j.Refusal.Code == deputy.NotAllowed || j.Refusal.Code == deputy.UnknownAction
	}
	switch r.Kind {
	case wall.Rights, wall.Actions, wall.Stop, wall.Explain:
		return true
	}
	return false
}

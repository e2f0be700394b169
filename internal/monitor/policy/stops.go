package policy

import (
	"slices"

	"deputy"
)

// Stopped is a live task that an action with `stops` is about to stop.
type Stopped struct {
	Params map[string]any
	Exact  bool // its lock is known by its parts, so they are those of the request
}

// Stops finds the rule by which an allowed request may stop these tasks, too: what
// a rule's `where` says of a param holds for the values of the task itself. A task
// that has no such param is bound by its lock, if the param is a part of it.
func (p *Policy) Stops(plan *Plan, tasks []Stopped) (rule string, refusal *deputy.Error) {
	for _, r := range plan.rules {
		g := grant(r, plan.id, plan.Action)
		if !slices.ContainsFunc(tasks, func(t Stopped) bool { return !plan.mayStop(g, t) }) {
			return place(r), nil
		}
	}
	return "", notAllowed(plan.id, plan.Action, " for tasks with these values")
}

func (plan *Plan) mayStop(g deputy.Grant, t Stopped) bool {
	bound := plan.Action.Lock.Names()
	for param, values := range g.Where {
		if _, has := t.Params[param]; !has && t.Exact && slices.Contains(bound, param) {
			continue
		}
		if !(deputy.Grant{Actions: []string{"*"}, Where: map[string][]any{param: values}}).Covers("", "", t.Params) {
			return false
		}
	}
	return true
}

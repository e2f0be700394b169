package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/manifest/schema"
	"deputy/internal/monitor/manifest/template"
	"deputy/internal/request"
)

// Plan is an allowed request.
type Plan struct {
	Action *manifest.Action
	Module *manifest.Module
	Rule   string // what allows it, "site.toml:7"
	Items  []Item // one for each task
	Each   []int  // which of Items is that of each item of the request: those with equal values are one

	id    Identity
	rules []*manifest.Rule // all that allow it, in the order in which they are asked
}

// Item is the values of one task.
type Item struct {
	Params  map[string]any // to be seen: without sensitive values, a for_each list replaced by its item
	Secrets map[string]any // sensitive values; nil if there are none
	Lock    []string       // the parts that its lock was made of: they are its identity; nil: it has none

	values map[string]any // Params and Secrets as one
}

// Admit decides on a request. It refuses in the order in which a sender is to
// learn: no such action, not for this caller, wrong values, and last not with
// these values. One rule must hold for every item. Of an action that a caller
// may not have at all no value is looked at.
func (p *Policy) Admit(id Identity, module, action string, params deputy.Params) (*Plan, *deputy.Error) {
	p = p.now()
	a, refusal := p.find(id, module, action)
	if refusal != nil {
		return nil, refusal
	}
	rules, refusal := p.candidates(id, a)
	if refusal != nil {
		return nil, refusal
	}
	items, wrong := p.items(a, params)
	return p.decide(id, a, rules, items, wrong)
}

// decide admits items by the rules that may hold for the caller.
func (p *Policy) decide(id Identity, a *manifest.Action, rules []*manifest.Rule, items []Item, wrong []deputy.ParamError) (*Plan, *deputy.Error) {
	if len(wrong) > 0 {
		return nil, badParams(a, wrong)
	}
	rules = slices.DeleteFunc(rules, func(r *manifest.Rule) bool { return whyNotValues(grant(r, id, a), items) != "" })
	if len(rules) == 0 {
		return nil, notAllowed(id, a, " with these values")
	}
	if _, why := p.Now(a); why != "" {
		return nil, cannotEnforce(a, why)
	}
	plan := &Plan{Action: a, Module: p.set.Modules[a.Module], Rule: place(rules[0]), id: id, rules: rules}
	plan.Items, plan.Each = distinct(items)
	return plan, nil
}

// Recheck says whether a task that was admitted before, and has waited, is
// still allowed, and by which rule. params are the task's own; no rule is about
// sensitive ones, so they are not needed.
func (p *Policy) Recheck(id Identity, module, action string, params map[string]any) (*manifest.Action, string, *deputy.Error) {
	p = p.now()
	a, refusal := p.find(id, module, action)
	if refusal != nil {
		return nil, "", refusal
	}
	rules, refusal := p.candidates(id, a)
	if refusal != nil {
		return nil, "", refusal
	}
	params = maps.Clone(params)
	maps.DeleteFunc(params, func(name string, _ any) bool { return a.Params[name] != nil && a.Params[name].Sensitive })
	values, err := typed(a, params, nil)
	if err != nil {
		return nil, "", deputy.Refuse(deputy.BadParam, "cannot start %s/%s: %v", a.Module, a.Name, err)
	}
	for _, r := range rules {
		if whyNotValues(grant(r, id, a), []Item{{values: values}}) == "" {
			if _, why := p.Now(a); why != "" {
				return nil, "", cannotEnforce(a, why)
			}
			return a, place(r), nil
		}
	}
	return nil, "", notAllowed(id, a, " with these values")
}

// find looks an action up. It suggests only what the caller may use.
func (p *Policy) find(id Identity, module, action string) (*manifest.Action, *deputy.Error) {
	m := p.set.Modules[module]
	if m != nil && m.Actions[action] != nil {
		return m.Actions[action], nil
	}
	what := "action"
	if m == nil {
		what = "module"
	}
	remedy := "the actions that you may call are listed by: deputy actions"
	if near := schema.Nearest(module+"/"+action, p.usable(id)); near != "" {
		remedy = "did you mean " + near + "?"
	}
	refusal := deputy.Refuse(deputy.UnknownAction, "cannot call %.31q/%.31q: there is no such %s; %s", module, action, what, remedy)
	refusal.Missing = what
	return nil, refusal
}

// candidates lists the rules that may hold for a caller, whatever the values.
func (p *Policy) candidates(id Identity, a *manifest.Action) ([]*manifest.Rule, *deputy.Error) {
	if refusal := p.CheckEndUser(id); refusal != nil {
		return nil, refusal
	}
	var rules []*manifest.Rule
	for _, r := range p.rules(a) {
		if p.whyNot(r, id) == "" {
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		return nil, notAllowed(id, a, "")
	}
	return rules, nil
}

// CheckEndUser refuses an end user whom this caller may not name.
func (p *Policy) CheckEndUser(id Identity) *deputy.Error {
	p = p.now()
	switch {
	case id.EndUser == "":
		return nil
	case !p.settings(id.Caller).NamesEndUser:
		table, name, _ := strings.Cut(string(id.Caller), ":")
		if table == "uid" {
			table, name = "user", id.argument()
		}
		return deputy.Refuse(deputy.NotAllowed, "%s may not name an end user; the administrator allows it in deputy.toml with: [%s.%q] names_end_user = true", id, table, name)
	case !request.IsEndUser(id.EndUser):
		return deputy.Refuse(deputy.BadRequest, "cannot ask for this end user: the name must be one line of at most %d bytes of UTF-8 without control characters, and without a blank at its beginning or its end", request.MaxName)
	}
	return nil
}

func notAllowed(id Identity, a *manifest.Action, condition string) *deputy.Error {
	if id.Bare != "" {
		condition += " (" + id.Bare + ")"
	}
	return deputy.Refuse(deputy.NotAllowed, "%s may not call %s/%s%s; the administrator sees why with: deputy explain --as %s %s %s",
		id, a.Module, a.Name, condition, id.argument(), a.Module, a.Name)
}

// cannotEnforce refuses what this machine cannot do as declared. Only those who
// may have the action learn it.
func cannotEnforce(a *manifest.Action, why string) *deputy.Error {
	return deputy.Refuse(deputy.CannotEnforce, "cannot call %s/%s: %s", a.Module, a.Name, why)
}

// badParams tells everything that is wrong, within reason.
func badParams(a *manifest.Action, wrong []deputy.ParamError) *deputy.Error {
	const most = 100
	first := wrong[0].Param + " " + wrong[0].Detail
	if len(wrong) > 1 {
		first += fmt.Sprintf(" (and %d more)", len(wrong)-1)
	}
	e := deputy.Refuse(deputy.BadParam, "cannot call %s/%s: %s", a.Module, a.Name, first)
	e.Errors = wrong[:min(len(wrong), most)]
	return e
}

// whyNotValues says what an item has that g does not cover; "" if it covers all.
func whyNotValues(g deputy.Grant, items []Item) string {
	for _, param := range slices.Sorted(maps.Keys(g.Where)) {
		one := deputy.Grant{Actions: []string{"*"}, Where: map[string][]any{param: g.Where[param]}}
		for _, item := range items {
			if !one.Covers("", "", item.values) {
				return fmt.Sprintf("it holds only where %s is one of %v", param, g.Where[param])
			}
		}
	}
	return ""
}

// items checks the values and makes one item for each task that would run.
func (p *Policy) items(a *manifest.Action, params deputy.Params) ([]Item, []deputy.ParamError) {
	if wrong := p.tooMany(a, params); wrong != nil {
		return nil, wrong
	}
	all, wrong := schema.CheckAll(a.Params, params)
	if len(wrong) > 0 {
		return nil, wrong
	}
	each := []map[string]any{all}
	if f := a.ForEach; f != nil {
		list, _ := all[f.List].([]any)
		delete(all, f.List)
		each = make([]map[string]any, len(list))
		for i, value := range list {
			each[i] = maps.Clone(all)
			each[i][f.Item] = value
		}
	}
	items := make([]Item, len(each))
	for i, values := range each {
		item, err := p.item(a, values)
		if err != nil {
			return nil, []deputy.ParamError{paramError(a, err)}
		}
		items[i] = item
	}
	if a.Stops == "" { // to stop a lock twice is to stop it
		wrong = clashes(a, items)
	}
	return items, wrong
}

// item takes what is sensitive apart, and tries the values in every template: what
// cannot be made into a lock or an argument is the sender's to know now.
func (p *Policy) item(a *manifest.Action, values map[string]any) (Item, error) {
	item := Item{Params: maps.Clone(values), values: values}
	for name, declared := range a.Params {
		if secret, ok := values[name].(string); ok && declared.Sensitive {
			if item.Secrets == nil {
				item.Secrets = map[string]any{}
			}
			item.Secrets[name] = secret
			delete(item.Params, name)
		}
	}
	if a.Lock != nil {
		var err error
		if item.Lock, err = a.Lock.Parts(values); err != nil {
			return Item{}, err
		}
	}
	if a.Command != nil {
		if _, err := process(a, values, Context{}); err != nil {
			return Item{}, err
		}
	}
	return item, nil
}

// paramError puts an error of a template in terms of what the sender sent.
func paramError(a *manifest.Action, err error) deputy.ParamError {
	var value *template.ValueError
	if !errors.As(err, &value) {
		return deputy.ParamError{Detail: err.Error()}
	}
	if a.ForEach != nil && value.Param == a.ForEach.Item {
		return deputy.ParamError{Param: a.ForEach.List, Detail: "has a wrong item: it " + value.Reason}
	}
	return deputy.ParamError{Param: value.Param, Detail: value.Reason}
}

package policy

import (
	"fmt"
	"slices"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/manifest/schema"
)

// Actions lists what id may use: the actions that some rule grants it, if not
// with every value. Without an end user, what it may use for any counts.
func (p *Policy) Actions(id Identity) []deputy.ActionInfo {
	p = p.now()
	infos := []deputy.ActionInfo{}
	p.each(func(a *manifest.Action) {
		if p.grants(id, a) {
			infos = append(infos, describe(a))
		}
	})
	return infos
}

// Everybody lists every action, and who may use it by which rule.
func (p *Policy) Everybody() []deputy.ActionInfo {
	infos := []deputy.ActionInfo{}
	p.each(func(a *manifest.Action) {
		info := describe(a)
		for _, r := range p.rules(a) {
			info.Allow = append(info.Allow, deputy.Allowed{
				Rule: place(r), Users: r.Users, Groups: r.Groups, Keys: r.Keys, EndUsers: r.EndUsers, Where: r.Where, Stop: r.Stop, Read: r.Read,
			})
		}
		infos = append(infos, info)
	})
	return infos
}

// usable gives the names of what Actions lists.
func (p *Policy) usable(id Identity) (all []string) {
	p.each(func(a *manifest.Action) {
		if p.grants(id, a) {
			all = append(all, a.Module+"/"+a.Name)
		}
	})
	return all
}

func (p *Policy) grants(id Identity, a *manifest.Action) bool {
	return slices.ContainsFunc(p.rules(a), func(r *manifest.Rule) bool {
		return id.EndUser == "" && p.names(r, id) || p.whyNot(r, id) == ""
	})
}

func describe(a *manifest.Action) deputy.ActionInfo {
	info := deputy.ActionInfo{
		Module: a.Module, Action: a.Name, Description: a.Description,
		Params:    schema.ObjectSchema(map[string]any{}, a.Params),
		TimeoutMS: a.Timeout.Milliseconds(), MaxBody: a.MaxBody, Stoppable: a.Stoppable,
	}
	if a.ForEach != nil {
		info.ForEach = new(a.ForEach.Item + " in " + a.ForEach.List)
	}
	if a.Lock != nil {
		info.Lock = new(a.Lock.String())
	}
	if a.Stops != "" {
		info.Stops = &a.Stops
	} else if a.Lock != nil {
		info.OnBusy = new(string(a.OnBusy))
	}
	return info
}

// Explain says what Admit would, what would run, and why each rule that names
// the action does not hold. It tells all, if whoever wants to know may hear all;
// otherwise nothing is evaluated for a caller whom no rule names.
func (p *Policy) Explain(id Identity, module, action string, params deputy.Params, all bool) deputy.Explanation {
	p = p.now()
	a, refusal := p.find(id, module, action)
	if refusal != nil {
		return deputy.Explanation{Reason: refusal.Detail, Error: refusal}
	}
	rules, refusal := p.candidates(id, a)
	if refusal != nil && !all {
		return deputy.Explanation{Reason: refusal.Detail, Error: refusal}
	}
	items, wrong := p.items(a, params)
	var plan *Plan
	if refusal == nil {
		plan, refusal = p.decide(id, a, rules, items, wrong)
	}
	x := deputy.Explanation{
		Allowed: refusal == nil, Error: refusal, Denied: p.denied(id, a, items, wrong), Warnings: a.Warnings,
		TimeoutMS: a.Timeout.Milliseconds(), WithinMS: a.StartWithin.Milliseconds(), GraceMS: a.Grace.Milliseconds(), LingerMS: a.Linger.Milliseconds(), OutputCap: a.OutputCap,
	}
	switch {
	case refusal == nil:
		x.Rule = plan.Rule
		x.Tasks, x.More = p.launches(id, a, plan.Items)
	case refusal.Code == deputy.NotAllowed && len(x.Denied) == 0:
		x.Reason = fmt.Sprintf("no rule names %s/%s", a.Module, a.Name)
	default:
		x.Reason = refusal.Detail
	}
	return x
}

// mostShown is how many bytes of what would run are shown; that of the first task
// is shown whole.
const mostShown = 256 << 10

// launches shows what would run, and says how many tasks there would be besides.
func (p *Policy) launches(id Identity, a *manifest.Action, items []Item) (shown []deputy.Launch, more int) {
	size := 0
	for i, item := range items {
		l := p.launch(id, a, item)
		for _, text := range slices.Concat(l.Argv, l.Env) {
			size += len(text)
		}
		if i > 0 && size > mostShown {
			return shown, len(items) - i
		}
		shown = append(shown, l)
	}
	return shown, 0
}

// denied lists the rules that name the action and do not hold.
func (p *Policy) denied(id Identity, a *manifest.Action, items []Item, wrong []deputy.ParamError) []deputy.DeniedRule {
	var denied []deputy.DeniedRule
	for _, r := range p.rules(a) {
		why := p.whyNot(r, id)
		switch {
		case why != "":
		case len(wrong) == 0:
			why = whyNotValues(grant(r, id, a), items)
		case r.Where != nil:
			why = "it holds only for certain values, and the values given are wrong"
		}
		if why != "" {
			denied = append(denied, deputy.DeniedRule{Rule: place(r), Reason: why})
		}
	}
	return denied
}

// launch shows what one task would run. What is known only at its start stands
// in angle brackets.
func (p *Policy) launch(id Identity, a *manifest.Action, item Item) deputy.Launch {
	l := deputy.Launch{Directory: a.Directory, Groups: a.Groups, Argv: []string{}, Env: []string{}}
	if item.Lock != nil {
		l.Lock = new(item.LockText())
	}
	if a.Stops != "" {
		l.Stops = &a.Stops
		return l
	}
	if now, why := p.Now(a); why == "" { // as Admit has found
		a = now
	}
	l.User = a.User.Name
	// Neither argv nor env can hold what is sensitive; stdin is not shown.
	proc, err := process(a, item.values, Context{Task: "<task>", Attempt: 1, Caller: id.Caller, EndUser: id.EndUser, NotifySocket: "<socket>"})
	if err == nil { // Admit has tried the same
		l.Argv, l.Env = proc.Argv, proc.Env
		if f := proc.StdinFile; f != nil {
			l.Files = append(l.Files, deputy.LaunchFile{Under: f.Under, Path: f.Path})
		}
		for i, f := range proc.Files {
			l.Files = append(l.Files, deputy.LaunchFile{Descriptor: firstFile + i, Under: f.Under, Path: f.Path})
		}
	}
	return l
}

// Package policy decides: caller + action + values -> what runs and by which
// rule, or a refusal. It does no I/O and changes nothing; what is not known is
// denied.
package policy

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/userdb"
)

// Policy answers by the declarations of one load, and by who has their names at
// that moment. It is safe for concurrent use.
type Policy struct {
	set   *manifest.Policy
	o     Options
	named map[*manifest.Action][]*manifest.Rule // by action, the rules that name it, in the order in which they are asked
	words []*manifest.Rule                      // the rules that name somebody by a name or a group
	view  *userdb.View                          // the names of one decision; nil between decisions
}

// Options are what a decision needs besides the declarations.
type Options struct {
	SelfUID uint32              // the user deputyd runs as: operator and auditor, but calls only what a rule names
	SelfSID string              // on Windows instead
	Users   func() *userdb.View // who has which name now; nil: nobody has any
}

// New makes a Policy of what was loaded.
func New(set *manifest.Policy, o Options) *Policy {
	if o.Users == nil {
		o.Users = func() *userdb.View { return &userdb.View{} }
	}
	p := &Policy{set: set, o: o, named: map[*manifest.Action][]*manifest.Rule{}}
	seen := map[*manifest.Rule]bool{}
	p.each(func(a *manifest.Action) {
		p.named[a] = rulesOf(set, a)
		for _, r := range p.named[a] {
			if len(r.UserNames)+len(r.GIDs)+len(r.GroupNames) > 0 && !seen[r] {
				seen[r] = true
				p.words = append(p.words, r)
			}
		}
	})
	return p
}

// now is p for one decision, which sees one state of the user database from
// beginning to end. Whatever is asked from outside begins with it.
func (p *Policy) now() *Policy {
	if p.view != nil {
		return p
	}
	return &Policy{p.set, p.o, p.named, p.words, p.o.Users()}
}

// Identity is who asks. UID and GIDs count for a "uid:N" caller alone, and
// then UID is that N; GroupSIDs for a "sid:S-1-…" caller.
type Identity struct {
	Caller deputy.Caller
	UID    uint32
	GIDs   []uint32
	Name   string // "www-data", for messages; may be empty

	GroupSIDs []string

	Bare string // why only the number of a "uid:N" caller counts, no name and no group; "": these do

	EndUser string // for whom it asks; empty: nobody
}

// String names the caller in messages: "uid 33 (www-data)", "key panel".
func (id Identity) String() string {
	s := strings.Replace(string(id.Caller), ":", " ", 1)
	if _, isUID := id.Caller.UID(); isUID && id.Name != "" {
		s += " (" + id.Name + ")"
	}
	return s
}

// argument names the caller as `deputy explain --as` takes it.
func (id Identity) argument() string {
	if _, isUID := id.Caller.UID(); isUID && id.Name != "" {
		return id.Name
	}
	return string(id.Caller)
}

func (p *Policy) settings(c deputy.Caller) manifest.CallerSettings {
	if key, ok := strings.CutPrefix(string(c), "key:"); ok {
		return p.set.Config.Keys[key]
	}
	if sid, ok := c.SID(); ok {
		s := p.set.Config.SIDs[sid]
		if sid == p.o.SelfSID {
			s.Auditor, s.Operator = true, true
		}
		return s
	}
	uid, ok := c.UID()
	if !ok {
		return manifest.CallerSettings{}
	}
	var s manifest.CallerSettings
	for word, more := range p.set.Config.Users {
		if named, known := p.view.UID(word); known && named == uid {
			s.NamesEndUser, s.Auditor, s.Operator = s.NamesEndUser || more.NamesEndUser, s.Auditor || more.Auditor, s.Operator || more.Operator
		}
	}
	if uid == p.o.SelfUID {
		s.Auditor, s.Operator = true, true
	}
	return s
}

// Set is what was loaded.
func (p *Policy) Set() *manifest.Policy { return p.set }

// Rate is how often one caller may ask for actions.
func (p *Policy) Rate() manifest.Rate { return p.set.Config.Default.Rate }

// Operator says whether a caller is one.
func (p *Policy) Operator(c deputy.Caller) bool { return p.now().settings(c).Operator }

// rules lists the rules that name an action, in the order in which they are
// asked.
func (p *Policy) rules(a *manifest.Action) []*manifest.Rule { return p.named[a] }

// rulesOf finds them: the manifest's, then those of allow.d by file and line.
func rulesOf(set *manifest.Policy, a *manifest.Action) []*manifest.Rule {
	var found []*manifest.Rule
	for _, r := range slices.Concat(a.Rules, set.Rules) {
		if (deputy.Grant{Actions: r.Actions}).Names(a.Module, a.Name) {
			found = append(found, r)
		}
	}
	return found
}

// place names a rule in messages and in the journal: "site.toml:7".
func place(r *manifest.Rule) string {
	return fmt.Sprintf("%s:%d", filepath.Base(r.Pos.File), r.Pos.Line)
}

// whyNot says why r grants id nothing, whatever the values; "" if it may.
func (p *Policy) whyNot(r *manifest.Rule, id Identity) string {
	switch {
	case !p.names(r, id):
		if id.Bare != "" {
			return fmt.Sprintf("it is for %s, not for %s: %s", subjects(r), id, id.Bare)
		}
		return fmt.Sprintf("it is for %s, not for %s", subjects(r), id)
	case r.EndUsers == nil || id.EndUser != "" && slices.Contains(r.EndUsers, id.EndUser):
		return ""
	case id.EndUser == "":
		return "it is for certain end users, and the request names none"
	}
	return fmt.Sprintf("it is for other end users than %q", id.EndUser)
}

// names says whether id is one of r's users, groups or keys.
func (p *Policy) names(r *manifest.Rule, id Identity) bool {
	if key, ok := strings.CutPrefix(string(id.Caller), "key:"); ok {
		return slices.Contains(r.Keys, key)
	}
	if sid, ok := id.Caller.SID(); ok {
		return slices.Contains(r.SIDs, sid) ||
			slices.ContainsFunc(id.GroupSIDs, func(group string) bool { return slices.Contains(r.GroupSIDs, group) })
	}
	uid, ok := id.Caller.UID()
	return ok && (slices.Contains(r.UIDs, uid) || id.Bare == "" && p.namesByName(r, id, uid))
}

func (p *Policy) namesByName(r *manifest.Rule, id Identity, uid uint32) bool {
	return slices.ContainsFunc(r.UserNames, func(name string) bool { n, known := p.view.UID(name); return known && n == uid }) ||
		slices.ContainsFunc(r.GIDs, func(gid uint32) bool { return slices.Contains(id.GIDs, gid) }) ||
		slices.ContainsFunc(r.GroupNames, func(name string) bool { n, known := p.view.GID(name); return known && slices.Contains(id.GIDs, n) })
}

// Waits says whether a caller could get more from the policy once the name services have told its name:
// a rule names a group of its, or somebody of whom the number is not known.
func (p *Policy) Waits(id Identity) bool {
	p = p.now()
	uid, ok := id.Caller.UID()
	return ok && slices.ContainsFunc(p.words, func(r *manifest.Rule) bool {
		return p.namesByName(r, id, uid) || slices.ContainsFunc(r.UserNames, func(name string) bool { _, known := p.view.UID(name); return !known })
	})
}

func subjects(r *manifest.Rule) string {
	var all []string
	for _, s := range []struct {
		kind  string
		names []string
	}{{"user", r.Users}, {"group", r.Groups}, {"key", r.Keys}} {
		for _, name := range s.names {
			all = append(all, s.kind+" "+name)
		}
	}
	if len(all) == 0 {
		return "nobody"
	}
	return strings.Join(all, ", ")
}

// grant is what r gives id of action a. A condition on the list of a for_each
// is one on each task's item, for that is what a task's params hold.
func grant(r *manifest.Rule, id Identity, a *manifest.Action) deputy.Grant {
	g := deputy.Grant{Actions: []string{a.Module + "/" + a.Name}}
	for param, values := range r.Where {
		if a.ForEach != nil && param == a.ForEach.List {
			param = a.ForEach.Item
		}
		if g.Where == nil {
			g.Where = map[string][]any{}
		}
		g.Where[param] = substitute(values, id)
	}
	return g
}

// substitute puts the caller and the end user in the place of "{caller}" and
// "{end_user}". Nobody is not a value: without an end user that one is dropped.
func substitute(values []any, id Identity) []any {
	known := []any{}
	for _, v := range values {
		switch v {
		case "{caller}":
			known = append(known, string(id.Caller))
		case "{end_user}":
			if id.EndUser != "" {
				known = append(known, id.EndUser)
			}
		default:
			known = append(known, v)
		}
	}
	return known
}

// Rights says what id may beyond its own tasks.
func (p *Policy) Rights(id Identity) deputy.Rights {
	p = p.now()
	s := p.settings(id.Caller)
	rights := deputy.Rights{
		Caller: id.Caller, Name: id.Name, Auditor: s.Auditor, Operator: s.Operator, NamesEndUser: s.NamesEndUser,
		Read: []deputy.Grant{}, Stop: []deputy.Grant{},
	}
	add := func(r *manifest.Rule, g deputy.Grant) {
		if p.whyNot(r, id) != "" {
			return
		}
		if r.Read {
			rights.Read = append(rights.Read, g)
		}
		if r.Stop {
			rights.Stop = append(rights.Stop, g)
		}
	}
	for _, r := range p.set.Rules {
		if r.Where == nil {
			add(r, deputy.Grant{Actions: r.Actions})
		}
	}
	// One grant for each action: conditions name the action's own params, and a
	// module's rule does not hold for an action that has rules of its own.
	p.each(func(a *manifest.Action) {
		for _, r := range p.rules(a) {
			if r.Where != nil || slices.Contains(a.Rules, r) {
				add(r, grant(r, id, a))
			}
		}
	})
	return rights
}

// each visits every action, in the order of the names.
func (p *Policy) each(visit func(*manifest.Action)) {
	for _, module := range slices.Sorted(maps.Keys(p.set.Modules)) {
		actions := p.set.Modules[module].Actions
		for _, name := range slices.Sorted(maps.Keys(actions)) {
			visit(actions[name])
		}
	}
}

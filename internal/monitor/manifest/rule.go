package manifest

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"deputy/internal/monitor/manifest/schema"
)

// pending is a rule whose actions and values are checked when every module is
// known.
type pending struct {
	*Rule
	at    *node
	apart bool // of allow.d; one of a manifest is for the actions that have it
}

// rules reads one rule or several. module and action are where they stand:
// both empty in allow.d.
func (l *loader) rules(n *node, module, action string) []*Rule {
	all := []*Rule{}
	l.tables(n, func(n *node) {
		if r := l.rule(n, module, action); r != nil {
			all = append(all, r)
			l.pending = append(l.pending, pending{r, n, module == ""})
		}
	})
	return all
}

func (l *loader) rule(n *node, module, action string) *Rule {
	r := &Rule{Pos: n.pos()}
	f := fields{
		"users":     l.ruleUsers(r),
		"groups":    l.ruleGroups(r),
		"keys":      list(l, &r.Keys, named(keyName, "a key")),
		"end_users": list(l, &r.EndUsers, sameText),
		"where":     l.where(r),
		"stop":      l.flag(&r.Stop),
		"read":      l.flag(&r.Read),
	}
	switch {
	case action != "":
		r.Actions = []string{module + "/" + action}
		f["actions"] = func(c *node) { l.failKey(c, "remove it", "a rule that stands in an action is for this action") }
	case module != "":
		r.Actions = []string{module + "/*"}
		fallthrough
	default:
		f["actions"] = list(l, &r.Actions, actions(module))
	}
	if !l.table(n, "a rule", f) {
		return nil
	}
	for _, key := range []string{"actions", "end_users"} {
		if c := n.get(key); c != nil && c.kind == isList && len(c.children) == 0 {
			l.fail(c, "name at least one, or remove the line", "%q is empty", key)
		}
	}
	if len(r.Actions) == 0 && n.lacks("actions") {
		l.failKey(n, `write actions = ["MODULE/ACTION"]`, "a rule without actions allows nothing")
	}
	if nobody := len(r.Users)+len(r.Groups)+len(r.Keys) == 0; nobody && (n.lacks("users") || n.get("users") != nil) {
		l.failKey(n, `write users = ["NAME"], groups = ["NAME"] or keys = ["NAME"]`, "a rule without users, groups and keys allows nobody")
	}
	l.knownKeys(r, n.get("keys"))
	return r
}

// knownKeys warns of keys that have no file: the rule is in force as soon as
// they have one.
func (l *loader) knownKeys(r *Rule, n *node) {
	for i, key := range r.Keys {
		if l.KeysDir == "" || key == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(l.KeysDir, key)); os.IsNotExist(err) {
			l.warn(n.children[i], "there is no key %s in %s yet", key, l.KeysDir)
		}
	}
}

// actions reads what a rule is for: "module/action", "module/*" or "*"; in a
// manifest the module's name may be left out.
func actions(module string) func(string) (string, error) {
	form := regexp.MustCompile(`^(?:\*|` + moduleName + `/(?:\*|` + moduleName + `))$`)
	return func(text string) (string, error) {
		full := text
		if module != "" && !strings.Contains(text, "/") {
			full = module + "/" + text
		}
		if !form.MatchString(full) {
			return "", advise(`write "MODULE/ACTION", "MODULE/*" or "*"`, "%q cannot name actions", text)
		}
		if of, _, _ := strings.Cut(full, "/"); module != "" && of != module {
			return "", advise("move the rule to allow.d", "%q is not an action of this module", text)
		}
		return full, nil
	}
}

// where reads the values that params must have.
func (l *loader) where(r *Rule) func(*node) {
	return func(n *node) {
		if n.kind != isTable || len(n.children) == 0 {
			l.fail(n, `write where = { PARAM = ["VALUE"] }`, "where must be a table of values, not %s", n.kind)
			return
		}
		r.Where = make(map[string][]any)
		for _, c := range n.children {
			var values []any
			l.values(&values)(c)
			r.Where[c.key] = values
		}
	}
}

// covers says whether a rule is for an action.
func (r *Rule) covers(module, action string) bool {
	return slices.ContainsFunc(r.Actions, func(p string) bool {
		return p == "*" || p == module+"/*" || p == module+"/"+action
	})
}

// resolve holds every rule against the modules: its actions must exist, and
// its values must be values of their params.
func (l *loader) resolve(modules map[string]*Module) {
	for _, r := range l.pending {
		for i, pattern := range r.Actions {
			if n := r.at.get("actions"); n != nil && pattern != "" {
				l.exists(n.children[i], pattern, modules)
			}
		}
		where := r.at.get("where")
		for _, module := range sorted(modules) {
			for _, a := range sorted(module.Actions) {
				if where != nil && where.kind == isTable && r.covers(a.Module, a.Name) && (r.apart || slices.Contains(a.Rules, r.Rule)) {
					l.checkWhere(r.Rule, a, where)
				}
			}
		}
	}
}

func sorted[T any](m map[string]T) []T {
	var all []T
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[name])
	}
	return all
}

// exists refuses a pattern that names no action.
func (l *loader) exists(n *node, pattern string, modules map[string]*Module) {
	name, action, _ := strings.Cut(pattern, "/")
	module := modules[name]
	switch {
	case name == "*":
	case module == nil:
		l.fail(n, meant(name, "the modules are", slices.Collect(maps.Keys(modules))), "there is no module %q", name)
	case action != "*" && module.Actions[action] == nil:
		l.fail(n, meant(action, "the actions of "+name+" are", slices.Collect(maps.Keys(module.Actions))), "there is no action %q", pattern)
	}
}

// checkWhere checks the values of a rule for one of its actions.
func (l *loader) checkWhere(r *Rule, a *Action, where *node) {
	for _, c := range where.children {
		p := a.Params[c.key]
		if f := a.ForEach; f != nil && f.Item == c.key {
			p = a.Params[f.List]
		}
		if p == nil {
			l.failKey(c, meant(c.key, "its params are", slices.Collect(maps.Keys(a.Params))), "%s/%s has no param %q", a.Module, a.Name, c.key)
			continue
		}
		if p.Type == "array" && p.Items != nil { // each item must be one of the values
			p = p.Items
		}
		if p.Sensitive {
			l.failKey(c, "remove it", "%q is sensitive: a rule cannot tell its values", c.key)
			continue
		}
		for i, v := range c.children[:len(r.Where[c.key])] { // none if it is no list
			if value, ok := l.whereValue(p, v, a); ok {
				r.Where[c.key][i] = value
			}
		}
	}
}

// whereValue brings a value of a rule to the type of its param.
func (l *loader) whereValue(p *schema.Param, n *node, a *Action) (any, bool) {
	text, _ := n.value.(string)
	for _, who := range []string{"{end_user}", "{caller}"} {
		if text == who && p.Type == "string" {
			return text, true
		}
		if strings.Contains(text, who) {
			l.fail(n, "write "+who+" alone, for a string", "%s stands for a whole value of a string", who)
			return nil, false
		}
	}
	value, err := p.Check(n.plain())
	if err != nil {
		l.fail(n, "write a value that "+a.Module+"/"+a.Name+" accepts", "%q %v", n.name(), err)
	}
	return value, err == nil
}

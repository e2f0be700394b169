package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"deputy/internal/monitor/manifest/schema"
)

// dangers warns of what is no mistake, and is easily more than was meant.
func (l *loader) dangers(d *draft) {
	warned := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(d.uses)) {
		if key != "command" && !strings.HasPrefix(key, "env.") {
			continue
		}
		for _, u := range d.uses[key] {
			p := d.declaration(u.Name)
			if p == nil || warned[u.Name] {
				continue
			}
			warning := danger(&d.Action, key, u.Name, p)
			if warned[u.Name] = warning != ""; warning != "" {
				d.Warnings = append(d.Warnings, warning)
				l.warn(u.at, "%s/%s: %s", d.Module, d.Name, warning)
			}
		}
	}
}

func danger(a *Action, key, name string, p *schema.Param) string {
	if p.Type == "array" && p.Items != nil {
		p = p.Items
	}
	switch {
	case p.Type != "string" || p.Enum != nil || p.Const != nil:
	case key == "command" && !p.File && slices.Contains(p.Formats, "path"):
		return fmt.Sprintf(`the path in {%s} was checked as text alone: the program follows whatever links stand there; write file = true beside under, and it gets the open file`, name)
	case p.Pattern == nil && p.Formats == nil && a.User != nil && privileged(a.User):
		return fmt.Sprintf(`{%s} may be any text, for a command of %s's; say what it may be: enum, pattern or format`, name, a.User.Name)
	}
	return ""
}

package manifest

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"deputy/internal/monitor/manifest/schema"
	"deputy/internal/monitor/manifest/template"
)

// command makes a reader of a program and its arguments.
func (l *loader) command(d *draft) func(*node) {
	return func(n *node) {
		if n.kind != isList || len(n.children) == 0 {
			l.fail(n, `write command = ["/path/of/program", "argument"]: no shell reads it`, "a command must be a list of a program and its arguments")
			return
		}
		command, err := template.ParseCommand(n.plain())
		if err != nil {
			wrong := n
			if e, ok := errors.AsType[*template.ElementError](err); ok {
				wrong = n.children[e.Item]
			}
			message, remedy := split(err)
			l.fail(wrong, cmp.Or(remedy, `write "/path/of/program" first, then "…", "{name}", "{names...}" or a group ["-x", "{name}"]`), "%s", message)
			return
		}
		d.Command, d.elements = command, nil
		for _, e := range command.Elements() {
			written := writtenAt(n, e.At)
			d.elements = append(d.elements, written)
			for _, name := range e.Names {
				d.uses["command"] = append(d.uses["command"], use{template.Use{Name: name, Spread: e.Spread, Grouped: e.Group != 0}, written})
			}
		}
	}
}

// writtenAt is what was written at a place of a command.
func writtenAt(command *node, p template.Place) *node {
	item := command.children[p.Item]
	if item.kind == isList {
		return item.children[p.Within]
	}
	return item
}

// checkUses holds every placeholder of an action against what is declared, and
// settles the action's params: those that it uses.
func (l *loader) checkUses(d *draft, n *node, used map[string]bool) {
	d.Params = map[string]*schema.Param{}
	if c := n.get("command"); c != nil && d.Command == nil || d.ForEach == nil && n.get("for_each") != nil {
		maps.Copy(d.Params, d.declared) // what is used cannot be told
	}
	if d.ForEach != nil {
		l.checkForEach(d, n.get("for_each"))
	}
	for key, uses := range d.uses {
		for _, u := range uses {
			l.checkUse(d, key, u)
		}
	}
	if d.StdinFile != nil {
		l.checkStdinFile(d)
	}
	l.checkOpened(d, n)
	for name := range d.Params {
		if d.own[name] == nil {
			used[name] = true
		}
	}
	for name, c := range d.own {
		if d.Params[name] == nil {
			l.failKey(c, "remove it, or write {"+name+"} where its value belongs", "nothing uses the param %q", name)
		}
	}
}

func (l *loader) checkForEach(d *draft, n *node) {
	list := d.declared[d.ForEach.List]
	switch {
	case list == nil:
		l.fail(n, "declare it: params."+d.ForEach.List+` = { type = "array", items = { type = "string" } }`, "the list %q is not declared", d.ForEach.List)
	case list.Type != "array":
		l.fail(n, `name a param of type "array"`, "%q is no list: its type is %q", d.ForEach.List, list.Type)
	case list.Optional && list.Default == nil:
		l.fail(n, "remove optional from it: a request may still send an empty list", "the list %q is optional", d.ForEach.List)
	}
	l.paramName(n, d.ForEach.Item)
	if d.declared[d.ForEach.Item] != nil {
		l.fail(n, "choose another name for the item", "%q is a param already", d.ForEach.Item)
	}
	if list != nil {
		d.Params[d.ForEach.List] = list
	}
}

// isItem says whether a name is that of the item of the action's for_each.
func (a *Action) isItem(name string) bool { return a.ForEach != nil && name == a.ForEach.Item }

// declaration is what is declared of a param, or of the item of for_each; nil if
// nothing is.
func (d *draft) declaration(name string) *schema.Param {
	if !d.isItem(name) {
		return d.declared[name]
	}
	if list := d.declared[d.ForEach.List]; list != nil {
		return list.Items
	}
	return nil
}

// checkUse checks one placeholder that stands in a key of the action.
func (l *loader) checkUse(d *draft, key string, u use) {
	if key == "stdin" && u.Name == template.AllParams {
		maps.Copy(d.Params, d.declared)
		return
	}
	p := d.declaration(u.Name)
	switch {
	case d.ForEach != nil && u.Name == d.ForEach.List:
		l.fail(u.at, "write {"+d.ForEach.Item+"}, the item", "{%s} is taken apart by for_each", u.Name)
		return
	case d.isItem(u.Name) && d.declared[d.ForEach.List] != nil:
	case p != nil:
		d.Params[u.Name] = p
	default:
		known := slices.Collect(maps.Keys(d.declared))
		if d.ForEach != nil {
			known = append(known, d.ForEach.Item)
		}
		l.fail(u.at, meant(u.Name, "declare params."+u.Name+", or use one of", known), "{%s} is not declared", u.Name)
	}
	if p == nil {
		return
	}
	switch {
	case p.Sensitive && key != "stdin":
		l.fail(u.at, "let the program read it from stdin", "{%s} is sensitive: it may stand in stdin alone, where no other process can see it", u.Name)
	case u.Spread && p.Type != "array":
		l.fail(u.at, "write {"+u.Name+"}", "{%s...} is no list: its type is %q", u.Name, p.Type)
	case u.Spread && p.Items != nil && (p.Items.Type == "array" || p.Items.Type == "object"):
		l.fail(u.at, `write stdin = "{params}" to hand it over as JSON`, "{%s...} is a list of what cannot stand in an argument", u.Name)
	case !u.Spread && key == "command" && p.Type == "array":
		l.fail(u.at, `write "{`+u.Name+`...}" as an element of its own, or use for_each`, "{%s} is a list inside an argument", u.Name)
	case !u.Spread && key != "stdin" && (p.Type == "array" || p.Type == "object"):
		l.fail(u.at, `use for_each, or stdin = "{params}"`, "{%s} is of type %q, which cannot stand here", u.Name, p.Type)
	case p.Optional && p.Default == nil && !u.Spread && !u.Grouped:
		l.fail(u.at, "give it a default"+map[bool]string{true: `, or put it in a group: ["{` + u.Name + `}"]`}[key == "command"],
			"{%s} is optional, and here a value must stand", u.Name)
	}
}

package manifest

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
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
			message, remedy := split(err)
			l.fail(culprit(n), cmp.Or(remedy, `write "/path/of/program" first, then "…", "{name}", "{names...}" or a group ["-x", "{name}"]`), "%s", message)
			return
		}
		d.Command = command
		for i, c := range n.children {
			if c.kind != isList {
				l.element(d, c, i == 0, c.value)
			}
			for _, inner := range c.children {
				l.element(d, inner, false, []any{inner.value})
			}
		}
		l.program(n.children[0], command.Program())
	}
}

// culprit is the element that makes a command unreadable: the first that is so
// beside a sound program.
func culprit(n *node) *node {
	for i, c := range n.children {
		alone := []any{rootFolder, c.plain()}
		if i == 0 {
			alone = alone[1:]
		}
		if _, err := template.ParseCommand(alone); err != nil {
			return c
		}
	}
	return n
}

// element notes which params an element names, or that it is a literal. alone
// is the element as it stands in a command: one of a group is in a list.
func (l *loader) element(d *draft, n *node, program bool, alone any) {
	command, err := template.ParseCommand([]any{rootFolder, alone})
	if program {
		command, err = template.ParseCommand([]any{alone})
	}
	if err != nil { // a literal in a group has no group of its own
		command, err = template.ParseCommand([]any{rootFolder, n.value})
	}
	if err != nil {
		return
	}
	for _, u := range command.Names() {
		d.uses["command"] = append(d.uses["command"], use{u, n})
	}
	if len(command.Names()) == 0 {
		all := command.Literals()
		d.literals = append(d.literals, literal{all[len(all)-1], n})
	}
}

// program refuses what cannot be executed.
func (l *loader) program(n *node, path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.fail(n, "install it or correct the path", "cannot find the program %s: %v", path, err.(*os.PathError).Err)
	case !info.Mode().IsRegular():
		l.fail(n, "name a program", "%s is not a program: it is no regular file", path)
	default:
		if remedy := executable(path, info); remedy != "" {
			l.fail(n, remedy, "%s is not executable", path)
		}
	}
}

// file is the path of the regular file that an element of a command names;
// empty if it names none. Folders, devices and what does not exist decide
// nothing that runs.
func file(directory, element string) string {
	if element == "" {
		return ""
	}
	if !filepath.IsAbs(element) {
		element = filepath.Join(directory, element)
	}
	if info, err := os.Stat(element); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return element
}

// Files lists the files that decide what a runs: each element of its command
// in which no param stands and that is the path of an existing file. They must
// be trusted at each start.
func (a *Action) Files() []string {
	if a.Command == nil {
		return nil
	}
	files := []string{a.Command.Program()}
	for _, element := range a.Command.Literals()[1:] {
		if path := file(a.Directory, element); path != "" {
			files = append(files, path)
		}
	}
	return files
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

// checkUse checks one placeholder that stands in a key of the action.
func (l *loader) checkUse(d *draft, key string, u use) {
	if key == "stdin" && u.Name == template.AllParams {
		maps.Copy(d.Params, d.declared)
		return
	}
	p := d.declared[u.Name]
	switch {
	case d.ForEach != nil && u.Name == d.ForEach.List:
		l.fail(u.at, "write {"+d.ForEach.Item+"}, the item", "{%s} is taken apart by for_each", u.Name)
		return
	case d.ForEach != nil && u.Name == d.ForEach.Item && d.declared[d.ForEach.List] != nil:
		p = d.declared[d.ForEach.List].Items
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

// checkStdinFile takes the folder from the param that stdin_file names.
func (l *loader) checkStdinFile(d *draft) {
	for _, u := range d.uses["stdin_file"] {
		p := d.declared[u.Name]
		if p == nil {
			continue
		}
		if !slices.Equal(p.Formats, []string{"path"}) {
			l.fail(u.at, `declare it with format = "path" and under = "/folder"`, "param %q is no path", u.Name)
		}
		file := *d.StdinFile // a module's default is shared, its params need not be
		file.Under = p.Under
		d.StdinFile = &file
	}
}

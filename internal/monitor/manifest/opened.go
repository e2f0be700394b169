package manifest

import (
	"cmp"
	"runtime"
	"slices"

	"deputy/internal/monitor/manifest/schema"
)

// handsFiles says whether a task can be handed open files as /dev/fd/3, 4 …
// FreeBSD has only 0, 1 and 2 there, Windows nothing.
const handsFiles = runtime.GOOS == "linux"

// checkStdinFile takes the folder from the param that stdin_file names.
func (l *loader) checkStdinFile(d *draft) {
	for _, u := range d.uses["stdin_file"] {
		p := d.declaration(u.Name)
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

// checkOpened settles which files the task is handed, in the order in which
// their params are declared, and refuses file = true where nothing is handed.
func (l *loader) checkOpened(d *draft, n *node) {
	in := map[string][]use{}
	for _, u := range d.uses["command"] {
		if p := d.declaration(u.Name); p != nil && p.File {
			in[u.Name] = append(in[u.Name], u)
		}
	}
	for name, uses := range in {
		d.Opened = append(d.Opened, OpenedFile{name, d.declaration(name).Under})
		if !handsFiles {
			l.fail(uses[0].at, `write stdin_file = "{`+name+`}" instead`, "cannot hand over {%s} opened: this system has no /dev/fd for every process", name)
		}
	}
	slices.SortFunc(d.Opened, func(a, b OpenedFile) int { return cmp.Compare(d.declaredAt(a.Param), d.declaredAt(b.Param)) })
	for name, p := range d.Params {
		switch at := cmp.Or(d.own[name], d.shared[name], n); {
		case d.ForEach != nil && name == d.ForEach.List:
			if p.Items != nil && p.Items.File {
				l.checkHanded(d, at, d.ForEach.Item, p.Items, in)
			}
		case p.Items != nil && p.Items.File:
			l.failKey(at, `write for_each = "item in `+name+`", and {item} in the command`, "the items of %q are files to be opened, and those of a whole list cannot be handed over", name)
		case p.File:
			l.checkHanded(d, at, name, p, in)
		}
	}
}

// checkHanded refuses a file that would be opened for nothing: where its param
// stands elsewhere, it is the path, which then anybody may have changed.
func (l *loader) checkHanded(d *draft, at *node, name string, p *schema.Param, in map[string][]use) {
	asStdin := slices.ContainsFunc(d.uses["stdin_file"], func(u use) bool { return u.Name == name })
	if in[name] == nil && !asStdin && d.Command != nil {
		l.failKey(at, "write {"+name+`} in the command, where it becomes /dev/fd/3, or stdin_file = "{`+name+`}"; or remove file = true`,
			"%q is a file to be opened, and action %q hands it to nobody", name, d.Name)
	}
}

// declaredAt is where in its file a param is declared; the item of for_each is
// where its list is.
func (d *draft) declaredAt(name string) int {
	if d.isItem(name) {
		name = d.ForEach.List
	}
	return at(cmp.Or(d.own[name], d.shared[name]))
}

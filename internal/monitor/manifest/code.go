package manifest

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"deputy/internal/monitor/look"
	"deputy/internal/monitor/manifest/template"
	"deputy/internal/monitor/userdb"
)

// Code is all that decides what an action runs: its program, the interpreter that
// this names after "#!", each literal element that is a regular file, and where
// the program is an interpreter (see interpreters) what that is to run, whatever
// stands there. Others may change none of it, and no value may become part of it
// unless the action says shell = true.
type code struct {
	action *Action
	trust  Trust
	eyes   *look.Eyes
	load   bool // what cannot be executed is a fault, too: later the start itself tells
	faults []fault
	silent error           // why nothing could be seen; it ends the check
	judged map[string]bool // paths that are code, and were judged
	steps  int             // of reading options, which is bounded
}

// fault is what is wrong with one element of the command, or with a variable.
type fault struct {
	element  int
	variable string
	err      error
}

// CheckCode says why what an action runs cannot be trusted. An error of the eyes
// says that nothing is known; of a program that is gone it is fs.ErrNotExist.
func (t Trust) CheckCode(a *Action, eyes *look.Eyes) error {
	c := t.code(a, eyes)
	c.all()
	if c.silent == nil && len(c.faults) > 0 {
		return c.faults[0].err
	}
	return c.silent
}

func (t Trust) code(a *Action, eyes *look.Eyes) *code {
	if a.ownCode() {
		t.UIDs = append(slices.Clone(t.UIDs), a.User.UID)
	}
	return &code{action: a, trust: t, eyes: eyes, judged: map[string]bool{}}
}

// all looks at everything.
func (c *code) all() {
	if c.action.Command == nil {
		return
	}
	elements := c.action.Command.Elements()
	items := make([]item, len(elements))
	for i, e := range elements {
		items[i] = item{e, i, ""}
	}
	c.execute(items, c.action.Directory, 0)
	for _, it := range items {
		if c.silent == nil && len(it.Names) == 0 {
			c.literal(it)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.action.Env)) {
		if decides(name) {
			c.variable(name, c.action.Env[name])
		}
	}
}

// ownCode says whether what an action runs may belong to the user that it runs
// as: who changes it could run it as well without us. What an action adds, that
// user has not.
func (a *Action) ownCode() bool {
	if a.User == nil || privileged(a.User) {
		return false
	}
	return !slices.ContainsFunc(a.GIDs, func(gid uint32) bool { return !slices.Contains(a.User.Groups, gid) })
}

// item is an element of the command, or what one leads to, or a variable.
type item struct {
	template.Element
	index    int // of the element
	variable string
}

func (c *code) fault(it item, err error) {
	f := fault{it.index, it.variable, err}
	if !slices.ContainsFunc(c.faults, func(other fault) bool {
		return other.element == f.element && other.variable == f.variable && other.err.Error() == err.Error()
	}) {
		c.faults = append(c.faults, f)
	}
}

// see looks at a path; nil ends the check.
func (c *code) see(want look.Want) *look.Sight {
	if c.silent != nil {
		return nil
	}
	s, err := c.eyes.See(want)
	if err != nil {
		c.silent = err
		return nil
	}
	return &s
}

// literal holds a file against trust, whatever it is to the program. Folders,
// devices and what does not exist may be data.
func (c *code) literal(it item) {
	path := inside(c.action.Directory, it.Lead)
	if it.Lead == "" || c.judged[path] {
		return
	}
	if s := c.see(look.Want{Path: path}); s != nil && s.End() != nil && s.End().Regular() {
		c.judge(it, path, s)
	}
}

// judge holds what stands at a path against trust, or what will.
func (c *code) judge(it item, path string, s *look.Sight) {
	if c.judged[path] || c.action.User != nil && c.action.User.UID == userdb.NoID { // whose code it may be is not known yet
		return
	}
	c.judged[path] = true
	err := c.trust.judge(path, s)
	if err == nil && !missing(s) {
		err = c.trust.unseen(s)
	}
	if err == nil && s.Many {
		err = advise("name a file in it", "it holds too many files to look at each")
	}
	if err != nil {
		message, remedy := split(err)
		c.fault(it, advise(remedy, "cannot trust %s: %s", path, message))
	}
}

// missing says that there is nothing: whoever could put something there decides.
func missing(s *look.Sight) bool { return s.At != "" && errors.Is(s.Errno, fs.ErrNotExist) }

// inside is a path as it is read in a folder.
func inside(folder, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(folder, path)
	}
	return path
}

// maxDepth bounds how often one program leads to another.
const maxDepth = 8

// execute looks at a program and at what its arguments have it run.
func (c *code) execute(items []item, folder string, depth int) {
	program := items[0]
	if depth > maxDepth {
		c.fault(program, advise("name the program that is meant", "one program leads to another more than %d times", maxDepth))
		return
	}
	if len(program.Names) > 0 {
		c.choice(program, "a program that is executed")
		return
	}
	path, s := c.find(program, folder)
	if s == nil {
		return
	}
	end := s.End()
	if depth == 0 {
		c.program(program, path, s)
	}
	if end != nil || depth > 0 || missing(s) {
		c.judge(program, path, s)
	}
	if end == nil {
		return
	}
	if script := c.shebang(program, path, s.Head); script != nil {
		c.execute(append(script, items[1:]...), folder, depth+1)
	}
	if name, known := interpreterOf(program.Lead, end.Path); known != nil {
		c.read(name, known, items[1:], folder, depth)
	}
}

// program refuses what cannot be executed.
func (c *code) program(it item, path string, s *look.Sight) {
	end, remedy := s.End(), ""
	if end != nil && end.Regular() {
		remedy = executable(path, end.Mode)
	}
	switch {
	case end == nil && (c.load || missing(s)):
		c.fault(it, gone{advise("install it or correct the path", "cannot find the program %s: %v", path, s.Errno), s.Errno})
	case !c.load || end == nil:
	case !end.Regular():
		c.fault(it, advise("name a program", "%s is not a program: it is no regular file", path))
	case remedy != "":
		c.fault(it, advise(remedy, "%s is not executable", path))
	}
}

// gone is that a program cannot be found, and why.
type gone struct {
	error
	why error
}

func (g gone) Unwrap() []error { return []error{g.error, g.why} }

// variable looks at one that decides what programs run: no value may stand in it,
// and whoever can change what it names is trusted.
func (c *code) variable(name string, value *template.Text) {
	it := item{variable: name}
	if names := value.Names(); len(names) > 0 {
		it.Names = names
		c.choice(it, "what "+name+" says")
		return
	}
	text, _ := value.Expand(nil) // names nothing
	for path := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == filepath.ListSeparator || r == ' ' }) {
		if !filepath.IsAbs(path) {
			continue
		}
		if s := c.see(look.Want{Path: path}); s != nil {
			c.judge(it, path, s)
		}
	}
}

// find is where a program is: one that is only named lies in a folder of PATH,
// all of which decide which one it is.
func (c *code) find(program item, folder string) (string, *look.Sight) {
	if strings.ContainsAny(program.Lead, `/`+string(filepath.Separator)) {
		path := inside(folder, program.Lead)
		return path, c.see(look.Want{Path: path, Head: look.Script})
	}
	search := DefaultPath
	if declared := c.action.Env["PATH"]; declared != nil {
		if len(declared.Names()) > 0 {
			c.fault(program, advise("write whole paths, or a PATH without params", "%s is looked for in PATH, which a value decides", program.Lead))
			return "", nil
		}
		search, _ = declared.Expand(nil) // names nothing
	}
	for _, dir := range filepath.SplitList(search) {
		dir = inside(folder, dir)
		s := c.see(look.Want{Path: dir})
		if s == nil {
			return "", nil
		}
		c.judge(program, dir, s)
		path := filepath.Join(dir, program.Lead)
		if s = c.see(look.Want{Path: path, Head: look.Script}); s == nil || s.End() != nil && s.End().Regular() {
			return path, s
		}
	}
	return "", nil
}

// shebang makes of a script what the kernel executes in its place; nil of
// anything else.
func (c *code) shebang(program item, path string, head []byte) []item {
	text, ok := strings.CutPrefix(string(head), "#!")
	if !ok {
		return nil
	}
	line, _, _ := strings.Cut(text, "\n")
	line = strings.Trim(line, " \t")
	words := []string{line}
	if at := strings.IndexAny(line, " \t"); at >= 0 {
		words = []string{line[:at], strings.Trim(line[at:], " \t")}
	}
	if words[0] == "" {
		return nil
	}
	if !strings.Contains(words[0], "/") { // the kernel looks in the folder, and not in PATH
		words[0] = "./" + words[0]
	}
	items := make([]item, 0, 3)
	for _, word := range append(words, path) {
		items = append(items, item{template.Element{Lead: word}, program.index, ""})
	}
	return items
}

// choice refuses what a value would decide.
func (c *code) choice(it item, what string) {
	if !c.action.Shell {
		c.fault(it, advise("write it out, or shell = true if whoever may call this may run anything", "%s is %s: its value would decide what runs", shown(it), what))
	}
}

// shown is a placeholder as it is written.
func shown(it item) string {
	name := it.Names[0]
	if it.Spread {
		name += "..."
	}
	if strings.HasPrefix(name, "{") { // of xargs and find
		return name
	}
	return "{" + name + "}"
}

// operand looks at what an interpreter runs.
func (c *code) operand(it item, by, path, folder string) {
	switch {
	case len(it.Names) > 0:
		c.choice(it, "what "+by+" runs")
	case isStdin(path):
		c.fromStdin(it, by)
	default:
		c.whole(it, inside(folder, path))
	}
}

// whole looks at a file or folder, or what will be there.
func (c *code) whole(it item, path string) {
	if c.judged[path] {
		return
	}
	if s := c.see(look.Want{Path: path, Whole: true}); s != nil {
		c.judge(it, path, s)
	}
}

// isStdin says whether a path is that of an open descriptor: what can be read
// there no path decides.
func isStdin(path string) bool {
	return path == "-" || slices.ContainsFunc([]string{"/dev/stdin", "/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"},
		func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// fromStdin refuses a program that a request would bring.
func (c *code) fromStdin(it item, by string) {
	if !c.action.Shell && (c.action.Stdin != nil || c.action.StdinFile != nil || len(c.action.Opened) > 0) {
		c.fault(it, advise("name a script, or write shell = true if whoever may call this may run anything",
			"%s runs what it reads, and the request brings that", by))
	}
}

// text refuses a value in what is read as a program.
func (c *code) text(it item, by string) {
	if len(it.Names) > 0 && !c.action.Shell {
		c.fault(it, advise(`hand it over as an argument of its own ("$1" in a shell's text), or write shell = true if whoever may call this may run anything`,
			"%s stands in what %s reads as a program: its value could become commands", shown(it), by))
	}
}

// library looks at code that is named by its path, or looked for in the folder.
func (c *code) library(it item, by, name, folder string) {
	if len(it.Names) > 0 || strings.ContainsAny(name, `/`+string(filepath.Separator)) {
		c.operand(it, by, name, folder)
		return
	}
	c.place(it, folder)
}

// place looks at the folder in which something is looked for.
func (c *code) place(it item, folder string) {
	if c.judged[folder] {
		return
	}
	if s := c.see(look.Want{Path: folder}); s != nil {
		c.judge(it, folder, s)
	}
}

// module looks at what Python would find in the folder.
func (c *code) module(it item, by, name, folder string) {
	if len(it.Names) > 0 {
		c.choice(it, "what "+by+" runs")
		return
	}
	c.place(it, folder)
	at := folder
	for part := range strings.SplitSeq(name, ".") {
		at = filepath.Join(at, part)
		for _, path := range []string{at, at + ".py"} {
			if s := c.see(look.Want{Path: path, Whole: true}); s != nil && s.End() != nil {
				c.judge(it, path, s)
			}
		}
	}
}

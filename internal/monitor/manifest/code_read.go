package manifest

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"deputy/internal/monitor/look"
)

// reading is where the reading of an interpreter's arguments has come to.
type reading struct {
	*interpreter
	by      string // the interpreter's name in messages
	folder  string // the folder in which it runs
	depth   int
	operand role
	skip    int
	ended   bool   // no option follows
	given   bool   // its program was found: no operand behind is it
	user    bool   // an option named the user as whom it runs
	group   int    // the group of arguments that is taken to stand; 0: none
	replace string // the text that xargs replaces by what it reads; empty: none
}

// maxSteps bounds how many readings of a command there are.
const maxSteps = 1024

// read looks at what an interpreter is to run.
func (c *code) read(by string, known *interpreter, rest []item, folder string, depth int) {
	if known.operand == isFound {
		c.finder(rest, folder, depth)
		return
	}
	c.next(rest, reading{by: by, interpreter: known, folder: folder, depth: depth, operand: known.operand, skip: known.skip})
}

// next reads on. Where a value decides what there is to read, or where it is not
// known whether an option takes an argument, it reads both ways: each must be
// sound.
func (c *code) next(rest []item, r reading) {
	if c.tooMany(r) {
		return
	}
	if len(rest) == 0 {
		c.end(r)
		return
	}
	it := rest[0]
	if it.Group != 0 && it.Group != r.group {
		c.next(slices.DeleteFunc(slices.Clone(rest), func(other item) bool { return other.Group == it.Group }), r)
		r.group = it.Group
	}
	if it.Spread {
		c.next(rest[1:], r)
	}
	literal := len(it.Names) == 0
	switch {
	case r.assigns && strings.Contains(it.Lead, "=") && it.Lead[0] != '-':
		c.assigned(it)
		c.next(rest[1:], r)
	case it.Lead == "-" && literal && r.dash && !r.ended:
		r.ended = true
		c.next(rest[1:], r)
	case r.ended || it.Lead == "-" && literal:
		c.operandOf(rest, r)
	case it.Lead == "--" && literal:
		r.ended = true
		c.next(rest[1:], r)
	case it.Lead == "" && !literal:
		if c.action.mayDash(it.Names[0]) {
			c.next(rest[1:], r)
		}
		c.operandOf(rest, r)
	case strings.HasPrefix(it.Lead, "--"), len(it.Lead) > 2 && r.knows(it.Lead):
		c.long(rest, r)
	case strings.HasPrefix(it.Lead, "-"), strings.HasPrefix(it.Lead, "+") && strings.Contains(r.options, "+"):
		c.short(rest, 1, r)
	default:
		c.operandOf(rest, r)
	}
}

// tooMany counts the steps, and gives up.
func (c *code) tooMany(r reading) bool {
	if c.steps++; c.steps > maxSteps {
		c.fault(item{}, advise("write the options into a script of root's, and name that", "there are too many ways to read the arguments of %s", r.by))
	}
	return c.steps > maxSteps
}

func (r *reading) knows(name string) bool {
	_, _, known := r.option(name)
	return known
}

// mayDash says whether a value may begin with "-", and so be an option.
func (a *Action) mayDash(name string) bool {
	if a.isItem(name) {
		name = a.ForEach.List
	}
	return a.Params[name] != nil && a.Params[name].MayStartWithDash()
}

// long reads "--name", "--name=value" and "-name".
func (c *code) long(rest []item, r reading) {
	it := rest[0]
	name, value, attached := strings.Cut(it.Lead, "=")
	kind, takes, known := r.option(name)
	if !known && attached {
		kind = r.abbreviated(name)
	}
	switch {
	case attached:
		c.joined(rest, value, kind, r)
	case len(it.Names) > 0: // the name itself is not written out
		c.choice(it, "an option of "+r.by)
	case takes && kind != mayBeThere && kind != mayReplace:
		c.separate(rest[1:], kind, r)
	case !known:
		c.next(rest[1:], r)
		c.separate(rest[1:], isData, r)
	default:
		c.argument(item{index: it.index}, kind, &r)
		c.next(rest[1:], r)
	}
}

// abbreviated is the kind of a long option that is not written in full.
func (r *reading) abbreviated(name string) role {
	for option := range strings.FieldsSeq(r.options) {
		if strings.HasPrefix(option, name) && strings.HasPrefix(name, "--") {
			return role(option[strings.LastIndexByte(option, ':')+1:])
		}
	}
	return isData
}

// short reads the letters of "-abc" from at on.
func (c *code) short(rest []item, at int, r reading) {
	if c.tooMany(r) {
		return
	}
	it := rest[0]
	if at >= len(it.Lead) {
		if len(it.Names) > 0 {
			c.choice(it, "an option of "+r.by)
		}
		c.next(rest[1:], r)
		return
	}
	kind, takes, known := r.option(it.Lead[:1] + it.Lead[at:at+1])
	more := at+1 < len(it.Lead) || len(it.Names) > 0
	switch {
	case !known:
		c.short(rest, at+1, r)
		if !more {
			c.separate(rest[1:], isData, r)
		}
	case !takes:
		c.short(rest, at+1, r)
	case kind == firstText:
		r.operand, r.given = isText, true
		c.short(rest, at+1, r)
	case kind == readsStdin:
		c.fromStdin(it, r.by)
		r.operand, r.given = isData, true
		c.short(rest, at+1, r)
	case kind == takesLater: // the rest of "-eou" is more of them
		c.short(append(rest[:1:1], rest[min(2, len(rest)):]...), at+1, r)
	case more:
		c.joined(rest, it.Lead[at+1:], kind, r)
	case kind == mayBeThere, kind == mayReplace:
		c.argument(item{index: it.index}, kind, &r)
		c.next(rest[1:], r)
	default:
		c.separate(rest[1:], kind, r)
	}
}

// separate reads the argument of an option that stands in the next element.
func (c *code) separate(rest []item, kind role, r reading) {
	if c.tooMany(r) {
		return
	}
	if len(rest) == 0 {
		c.end(r)
		return
	}
	it := rest[0]
	if it.Group != 0 && it.Group != r.group { // it may not be there
		c.separate(slices.DeleteFunc(slices.Clone(rest), func(other item) bool { return other.Group == it.Group }), kind, r)
		r.group = it.Group
	}
	if it.Spread { // one of them, or none, and the others are something else
		c.choice(it, "the argument of an option of "+r.by)
		c.separate(rest[1:], kind, r)
	}
	if kind == isSplit {
		c.split(rest, r)
		return
	}
	c.argument(it, kind, &r)
	c.after(rest[1:], kind, r)
}

// joined reads the argument of an option that stands in the same element.
func (c *code) joined(rest []item, value string, kind role, r reading) {
	part := rest[0]
	part.Lead = value
	if kind == isSplit {
		c.split(append([]item{part}, rest[1:]...), r)
		return
	}
	c.argument(part, kind, &r)
	c.after(rest[1:], kind, r)
}

// argument looks at the argument of an option.
func (c *code) argument(it item, kind role, r *reading) {
	switch kind {
	case isCode:
		c.operand(it, r.by, it.Lead, r.folder)
	case isScript:
		c.operand(it, r.by, it.Lead, r.folder)
		r.given = true
	case isUser:
		r.user = true
	case isText:
		c.text(it, r.by)
		r.given = true
		if r.interpreter.folder {
			c.place(it, r.folder)
		}
	case isLibrary:
		c.library(it, r.by, it.Lead, r.folder)
	case isModule:
		c.module(it, r.by, it.Lead, r.folder)
		r.given = true
	case isPaths:
		c.paths(it, r)
	case isFolder:
		c.goTo(it, r)
	case isWord:
		c.text(it, r.by)
	case isReplace:
		r.replace = it.Lead
	case mayReplace:
		r.replace = cmp.Or(it.Lead, "{}")
	}
}

// after goes on behind an option.
func (c *code) after(rest []item, kind role, r reading) {
	if r.given && (kind == isModule || kind == isText && r.ends) {
		return // all that follows is data
	}
	c.next(rest, r)
}

// paths looks at each of several.
func (c *code) paths(it item, r *reading) {
	if len(it.Names) > 0 {
		c.choice(it, "where "+r.by+" finds what it runs")
		return
	}
	for _, path := range filepath.SplitList(it.Lead) {
		c.operand(it, r.by, strings.TrimSuffix(path, "*"), r.folder)
	}
}

// goTo follows an option into another folder.
func (c *code) goTo(it item, r *reading) {
	if len(it.Names) > 0 {
		c.choice(it, "the folder in which "+r.by+" begins")
		return
	}
	r.folder = inside(r.folder, it.Lead)
}

// split reads an argument of env -S as several, where no quoting makes that hard.
func (c *code) split(rest []item, r reading) {
	it := rest[0]
	if len(it.Names) > 0 || strings.ContainsAny(it.Lead, `\'"$#`) {
		c.fault(it, advise("write each argument as an element of its own", "cannot tell which arguments %s makes of %q", r.by, it.Lead))
		return
	}
	var parts []item
	for word := range strings.FieldsSeq(it.Lead) {
		part := it
		part.Lead = word
		parts = append(parts, part)
	}
	c.next(append(parts, rest[1:]...), r)
}

// operandOf looks at the first element that is no option.
func (c *code) operandOf(rest []item, r reading) {
	it := rest[0]
	if r.skip > 0 {
		if it.Spread {
			c.choice(it, "what "+r.by+" is told first, and what it runs")
		}
		r.skip, r.ended = r.skip-1, true
		c.next(rest[1:], r)
		return
	}
	switch kind := r.operand; {
	case kind == isProgram && (r.login && !r.user || it.Lead == "-c" || it.Lead == "--command"):
		c.shellText(rest, r)
	case kind == isProgram:
		c.execute(c.handed(rest, r), r.folder, r.depth+1)
	case kind == isApplet:
		if known := byName(it.Lead); known != nil && len(it.Names) == 0 {
			c.read(it.Lead, known, rest[1:], r.folder, r.depth+1)
		} else if len(it.Names) > 0 {
			c.choice(it, "what "+r.by+" runs")
		}
	case kind == isTexts:
		for _, each := range rest {
			c.text(each, r.by)
		}
	case kind == isGoal:
		if len(it.Names) > 0 {
			c.choice(it, "what "+r.by+" makes")
		}
		c.next(rest[1:], r)
	case kind == isText && (!r.given || r.interpreter.operand != isText):
		c.text(it, r.by)
		r.given, r.operand = true, isData
		c.permuted(rest[1:], r)
	case kind == isCode && !r.given:
		c.operand(it, r.by, it.Lead, r.folder)
	default:
		c.permuted(rest[1:], r)
	}
}

// shellText looks at what flock, su and runuser hand to a shell.
func (c *code) shellText(rest []item, r reading) {
	for i := range rest[:len(rest)-1] {
		if it := rest[i]; len(it.Names) == 0 && slices.Contains([]string{"-c", "--command", "--session-command"}, it.Lead) {
			c.text(rest[i+1], r.by)
		}
	}
	for _, it := range rest {
		if strings.HasPrefix(it.Lead, "-c") && len(it.Lead) > 2 || strings.HasPrefix(it.Lead, "--command=") || strings.HasPrefix(it.Lead, "--session-command=") || it.Spread {
			c.text(it, r.by)
		}
	}
}

// permuted goes on behind an operand, where options may follow.
func (c *code) permuted(rest []item, r reading) {
	if r.permute {
		r.operand = isData
		c.next(rest, r)
	}
}

// handed is a command that xargs executes: with what it reads behind it, or in
// place of a word.
func (c *code) handed(rest []item, r reading) []item {
	a := c.action
	if !strings.Contains(r.names, "xargs") || a.Stdin == nil && a.StdinFile == nil {
		return rest
	}
	read := rest[0]
	read.Lead, read.Names, read.Spread, read.Group = "", []string{"{what xargs reads}"}, false, 0
	if r.replace == "" {
		return append(slices.Clone(rest), read)
	}
	return replaced(rest, r.replace, "{what xargs reads}")
}

// replaced has a word that a program replaces count as a value.
func replaced(rest []item, word, by string) []item {
	rest = slices.Clone(rest)
	for i := range rest {
		if at := strings.Index(rest[i].Lead, word); at >= 0 {
			rest[i].Lead, rest[i].Names = rest[i].Lead[:at], append([]string{by}, rest[i].Names...)
		}
	}
	return rest
}

// end looks at what an interpreter does that was told nothing.
func (c *code) end(r reading) {
	last := item{index: len(c.action.Command.Elements()) - 1}
	if r.given {
		return
	}
	for name := range strings.FieldsSeq(r.looks) {
		path := filepath.Join(r.folder, name)
		c.place(last, r.folder)
		if s := c.see(look.Want{Path: path}); s != nil && s.End() != nil {
			c.judge(last, path, s)
		}
	}
	if r.stdin {
		c.fromStdin(last, r.by)
		if r.interpreter.folder && (c.action.Stdin != nil || c.action.StdinFile != nil) {
			c.place(last, r.folder)
		}
	}
}

// assigned refuses a variable that a value decides and that decides what runs.
func (c *code) assigned(it item) {
	name, _, _ := strings.Cut(it.Lead, "=")
	if len(it.Names) > 0 && decides(name) {
		c.choice(it, "the variable "+name)
	}
}

// finder looks at what find executes: no value may stand in it, and what it finds
// is one, too.
func (c *code) finder(rest []item, folder string, depth int) {
	for i := 0; i < len(rest); i++ {
		if !slices.Contains([]string{"-exec", "-execdir", "-ok", "-okdir"}, rest[i].Lead) || len(rest[i].Names) > 0 {
			continue
		}
		from := i + 1
		for i++; i < len(rest) && !(len(rest[i].Names) == 0 && (rest[i].Lead == ";" || rest[i].Lead == "+")); i++ {
			c.text(rest[i], "find "+rest[from-1].Lead)
		}
		if executed := rest[from:min(i, len(rest))]; len(executed) > 0 {
			c.execute(replaced(executed, "{}", "{what find finds}"), folder, depth+1)
		}
	}
}

package manifest

import (
	"cmp"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"deputy/internal/monitor/manifest/schema"
	"deputy/internal/monitor/manifest/template"
	"deputy/internal/monitor/userdb"
)

// draft is an action, or a module's defaults for its actions, while it is read.
type draft struct {
	Action
	declared map[string]*schema.Param // its own params over its module's
	own      map[string]*node         // where its own stand
	shared   map[string]*node         // where its module's stand
	uses     map[string][]use         // by the key in which the placeholders stand, like "lock" and "env.HOME"
	elements []*node                  // of the command, where each stands
	places   map[string]*node         // of variables, like "env.HOME"
	queueAt  *node                    // where its queue is named; nil: nowhere
}

// use is one place where a param is named.
type use struct {
	template.Use
	at *node
}

// undeclared stands for a linger that follows from the grace, which is at most
// lingerDefault: enough for what reads the last output of a pipe.
const (
	undeclared    time.Duration = -1
	lingerDefault               = 2 * time.Second
)

func newDraft(defaults Defaults) *draft {
	const term = 15 // SIGTERM everywhere
	return &draft{
		Action: Action{
			OnBusy: Join, Directory: rootFolder, Env: map[string]*template.Text{}, StopSignal: term, Stoppable: true,
			Timeout: defaults.Timeout, StartWithin: defaults.StartWithin, Grace: defaults.Grace, Linger: undeclared, OutputCap: defaults.OutputCap,
			SuccessCodes: []int{0}, MaxBody: 64 << 10,
		},
		declared: map[string]*schema.Param{}, own: map[string]*node{}, uses: map[string][]use{}, places: map[string]*node{},
	}
}

// copy is what an action of a module begins with.
func (d *draft) copy() *draft {
	c := *d
	c.Env, c.declared, c.uses, c.places = maps.Clone(d.Env), maps.Clone(d.declared), maps.Clone(d.uses), maps.Clone(d.places)
	c.own, c.shared = map[string]*node{}, d.own
	return &c
}

// settings are the keys that an action has, and its module as defaults for all.
func (l *loader) settings(d *draft) fields {
	return fields{
		"user":          l.taskUser(d),
		"groups":        l.taskGroups(d),
		"directory":     into(l, &d.Directory, absolute),
		"shell":         l.flag(&d.Shell),
		"env":           l.env(d),
		"params":        l.params(d.declared, d.own),
		"lock":          l.template(d, "lock", &d.Lock),
		"on_busy":       into(l, &d.OnBusy, onBusy),
		"debounce":      l.debounce(d),
		"queue":         l.queueName(d),
		"priority":      whole(l, &d.Priority, -maxPriority, maxPriority),
		"stdin_file":    l.stdinFile(d),
		"stderr":        func(n *node) { into(l, new(string), oneOf("stdout"))(n); d.StderrToStdout = true },
		"stop_signal":   into(l, &d.StopSignal, signal),
		"grace":         into(l, &d.Grace, duration),
		"linger":        into(l, &d.Linger, duration),
		"timeout":       into(l, &d.Timeout, timeout),
		"start_within":  into(l, &d.StartWithin, timeout),
		"stoppable":     l.flag(&d.Stoppable),
		"sd_notify":     l.flag(&d.SDNotify),
		"success_codes": l.codes(&d.SuccessCodes),
		"output":        func(n *node) { l.table(n, "output", fields{"cap": into(l, &d.OutputCap, size)}) },
		"keep":          into(l, &d.Keep, period),
		"max_body":      into(l, &d.MaxBody, bodySize),
		"rate":          into(l, &d.Rate, rate),
		"allow":         func(*node) {}, // read apart: it depends on where it stands
		"description":   l.text(&d.Description),
	}
}

// module reads a manifest. It is there even when something in it is wrong, so
// that rules do not miss it.
func (l *loader) module(root *node) *Module {
	m := &Module{
		Name: strings.TrimSuffix(filepath.Base(root.src.path), ".toml"), Pos: Pos{root.src.path, 1, 1},
		Digest: digest(root.src.text), Actions: map[string]*Action{},
	}
	shared := newDraft(l.config.Default)
	f := l.settings(shared)
	f["name"], f["action"], f["queue"] = l.text(&m.Name), func(*node) {}, func(n *node) {
		if n.kind != isTable { // the queue of all its actions
			l.queueName(shared)(n)
		}
	}
	l.table(root, "a manifest", f)
	m.Description, shared.Description, shared.Module = shared.Description, "", m.Name
	if n := root.get("name"); n != nil {
		m.Pos = n.pos()
	}
	if _, err := named(moduleName, "a module")(m.Name); err != nil {
		message, remedy := split(err)
		l.problems = append(l.problems, root.src.problem(max(0, at(root.get("name"))), message, `write name = "…"; `+remedy))
	}
	actions := root.get("action")
	if actions == nil || len(l.members(actions)) == 0 {
		l.problems = append(l.problems, root.src.problem(at(actions), "a manifest without actions", "write [action.NAME] with a command"))
		return m
	}
	if n := root.get("queue"); n != nil && n.kind == isTable {
		l.queueTables(false)(n)
	}
	var allow []*Rule
	if n := root.get("allow"); n != nil {
		allow = l.rules(n, m.Name, "")
	}
	used := map[string]bool{}
	for _, n := range actions.children {
		l.distinct(m.Actions, n)
		if a := l.action(shared, n, allow, used); a != nil {
			a.Digest = actionDigest(root, n)
			m.Actions[n.key] = a
		}
	}
	l.stops(m, actions)
	for name, n := range shared.own {
		if !used[name] {
			l.failKey(n, "remove it, or write {"+name+"} where its value belongs", "no action uses the param %q", name)
		}
	}
	if n := root.get("on_busy"); n != nil && !slices.ContainsFunc(sorted(m.Actions), func(a *Action) bool { return a.Lock != nil }) {
		l.failKey(n, `write lock = "…", too`, "on_busy without a lock: nothing can be busy")
	}
	return m
}

func at(n *node) int {
	if n == nil {
		return 0
	}
	return n.at
}

// distinct refuses an action whose name differs from another only in case.
func (l *loader) distinct(known map[string]*Action, n *node) {
	for name := range known {
		if strings.EqualFold(name, n.key) {
			l.failKey(n, "rename one of them", "action %q differs from %q only in case", n.key, name)
		}
	}
}

// action reads one action over its module's defaults. used gets the params
// that it uses.
func (l *loader) action(shared *draft, n *node, allow []*Rule, used map[string]bool) *Action {
	d := shared.copy()
	d.Name, d.Pos = n.key, n.pos()
	_, err := named(moduleName, "an action")(n.key)
	l.wrongKey(n, err)
	f := l.settings(d)
	f["command"], f["stops"] = l.command(d), l.text(&d.Stops)
	f["stdin"] = l.template(d, "stdin", &d.Stdin)
	f["for_each"] = into(l, &d.ForEach, forEach)
	if !l.table(n, "an action", f) {
		return nil
	}
	if c := n.get("allow"); c != nil {
		d.Rules = l.rules(c, d.Module, d.Name)
	} else {
		for _, r := range allow {
			if r.covers(d.Module, d.Name) {
				d.Rules = append(d.Rules, r)
			}
		}
	}
	l.finish(d, n)
	l.checkUses(d, n, used)
	l.checkCode(d, n)
	l.dangers(d)
	return &d.Action
}

// finish checks what several keys of an action say together.
func (l *loader) finish(d *draft, n *node) {
	if c := n.get("on_busy"); c != nil && d.Lock == nil {
		l.failKey(c, `write lock = "…", too`, "on_busy without a lock: nothing can be busy")
	}
	l.finishQueue(d, n)
	l.finishDebounce(d, n)
	if d.Linger == undeclared {
		d.Linger = min(lingerDefault, d.Grace)
	}
	if n.get("stops") != nil {
		l.finishStops(d, n)
		return
	}
	if n.lacks("command") {
		l.failKey(n, `write command = ["/path/of/program", "argument"]`, "action %q has no command", d.Name)
	}
	if d.Stdin != nil && d.StdinFile != nil {
		l.failKey(n.get("stdin"), "keep one of them", "stdin and stdin_file cannot both feed the task")
	}
	l.checkUser(d, n)
}

// checkCode refuses what others could change of what runs. Where a file system does
// not answer nothing is known of it, and the action alone cannot be had.
func (l *loader) checkCode(d *draft, n *node) {
	c := l.trust.code(&d.Action, l.Look.Open(d.Module+"/"+d.Name))
	c.load = true
	c.all()
	for _, f := range c.faults {
		message, remedy := split(f.err)
		at := n
		switch {
		case f.variable != "":
			at = d.places["env."+f.variable]
		case f.element < len(d.elements):
			at = d.elements[f.element]
		}
		l.fail(at, remedy, "%s", message)
	}
	if len(c.faults) == 0 && c.silent == nil {
		l.warnOfCuts(d, c)
	}
	if c.silent != nil {
		d.Unusable = c.silent.Error() + ", then: deputy reload"
		l.warn(n, "%s/%s cannot be had: %v", d.Module, d.Name, c.silent)
	}
}

// finishStops empties what an action has as its module's default and cannot
// use, because it starts nothing.
func (l *loader) finishStops(d *draft, n *node) {
	for _, c := range n.children {
		if !slices.Contains([]string{"description", "stops", "for_each", "lock", "params", "allow", "max_body", "rate", "on_busy"}, c.key) && home(c.key) != "" {
			l.failKey(c, "remove it, or stops", "%q says how a process runs, and an action with stops starts none", c.key)
		}
	}
	if d.Lock == nil {
		l.failKey(n.get("stops"), `write lock = "…", too`, "stops without lock: it stops the task that holds this lock")
	}
	d.User, d.RunsAs, d.Groups, d.GIDs, d.Env, d.Stdin, d.StdinFile, d.Command = nil, "", nil, nil, nil, nil, nil, nil
	maps.DeleteFunc(d.uses, func(key string, _ []use) bool { return key != "lock" })
}

// checkUser settles whom the task runs as.
func (l *loader) checkUser(d *draft, n *node) {
	at := n
	for _, c := range []*node{n.get("user"), n.parent.parent.get("user")} {
		if at == n && c != nil {
			at = c
		}
	}
	switch {
	case at == n && l.Root:
		l.failKey(n, `write user = "NAME" (user = "`+privilegedName+`" if you mean it)`, "action %q does not say whom it runs as", d.Name)
	case at == n:
		self, err := l.self()
		if err != nil {
			l.wrong(n, err)
		}
		d.User, d.RunsAs = self, selfWord(self)
	case d.User != nil && d.User.UID != userdb.NoID:
		if err := l.runsAs(d.User); err != nil {
			message, remedy := split(err)
			l.fail(at, remedy, "%s", message)
		}
	}
	if d.User != nil && d.User.UID != userdb.NoID && l.Root {
		if why := l.config.Server.Shares(d.User, d.GIDs); why != "" {
			if c := cmp.Or(n.get("groups"), n.parent.parent.get("groups")); c != nil && d.User.UID != l.config.Server.User.UID {
				at = c
			}
			l.fail(at, "give its tasks a user and groups of their own (useradd --system NAME)", "%s", why)
		}
	}
	if c := n.get("groups"); c != nil && !l.Root && l.UID != 0 {
		l.failKey(c, "remove the line, or install deputy as root", "cannot change groups: deputy itself runs as uid %d", l.UID)
	}
}

// stops holds each action that stops another against that one.
func (l *loader) stops(m *Module, actions *node) {
	for _, n := range actions.children {
		at, a := n.get("stops"), m.Actions[n.key]
		if at == nil || a == nil {
			continue
		}
		switch target := m.Actions[a.Stops]; {
		case target == nil:
			l.fail(at, meant(a.Stops, "the actions of this module are", slices.Collect(maps.Keys(m.Actions))), "there is no action %q to stop", a.Stops)
		case target == a:
			l.fail(at, "name the action whose tasks it stops", "an action cannot stop itself")
		case target.Stops != "":
			l.fail(at, "name an action that has a command", "action %q starts nothing that could be stopped", a.Stops)
		case target.Lock == nil:
			l.fail(at, `write lock = "…" in [action.`+a.Stops+`], too`, "action %q has no lock by which its task could be found", a.Stops)
		}
	}
}

// template makes a reader of a text with placeholders. key is under which its
// uses are known.
func (l *loader) template(d *draft, key string, dst **template.Text) func(*node) {
	return func(n *node) {
		*dst = &template.Text{}
		into(l, dst, template.ParseText)(n)
		d.uses[key] = nil
		for _, name := range (*dst).Names() {
			d.uses[key] = append(d.uses[key], use{template.Use{Name: name}, n})
		}
	}
}

// env reads variables; an action's stand over its module's, name by name.
func (l *loader) env(d *draft) func(*node) {
	return func(n *node) {
		for _, c := range l.members(n) {
			_, err := named(envName, "a variable")(c.key)
			l.wrongKey(c, err)
			if strings.HasPrefix(c.key, "DEPUTY_") || c.key == "NOTIFY_SOCKET" {
				l.failKey(c, "choose another name", "%s is set by deputy itself", c.key)
			}
			var text *template.Text
			l.template(d, "env."+c.key, &text)(c)
			d.Env[c.key], d.places["env."+c.key] = text, c
		}
	}
}

func (l *loader) stdinFile(d *draft) func(*node) {
	return func(n *node) {
		d.StdinFile = &StdinFile{}
		l.template(d, "stdin_file", &d.StdinFile.Path)(n)
		if names := d.StdinFile.Path.Names(); len(names) != 1 || n.value != "{"+names[0]+"}" {
			l.fail(n, `write stdin_file = "{NAME}" and declare params.NAME with format = "path" and under`, "stdin_file must be one param, alone")
		}
	}
}

func forEach(text string) (*ForEach, error) {
	m := regexp.MustCompile("^(" + paramName + ") in (" + paramName + ")$").FindStringSubmatch(text)
	if m == nil {
		return nil, advise(`write "ITEM in LIST", where LIST is a param of type array`, "cannot read %q", text)
	}
	return &ForEach{Item: m[1], List: m[2]}, nil
}

func (l *loader) codes(dst *[]int) func(*node) {
	return func(n *node) {
		*dst = []int{}
		for _, c := range n.children {
			var code int
			whole(l, &code, 0, 255)(c)
			*dst = append(*dst, code)
		}
		if n.kind != isList || len(*dst) == 0 {
			l.fail(n, "write success_codes = [0, 3]", "success_codes must be a list of exit codes")
		}
	}
}

// onBusy reads what happens when the lock is held.
func onBusy(text string) (OnBusy, error) {
	return oneOf(Join, Reject, Rerun, InLine, Replace)(text)
}

package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"deputy"
	"deputy/internal/monitor/look"
	"deputy/internal/monitor/userdb"
)

// Options says where the files are and by whom they must be trusted.
type Options struct {
	ConfigFile string   // deputy.toml; it need not exist
	ModuleDirs []string // modules.d, the vendor's first: the same file name in a later one replaces
	AllowDir   string   // allow.d
	KeysDir    string   // a rule for a key that has no file here is warned about; "": not looked at
	Socket     string   // default of [listen] unix
	UID        uint32   // whom deputyd runs as; its files are trusted, beside root's
	Users      *userdb.Database
	Look       *look.Pool // sees what stands at paths and waits for none; nil: by itself, as long as it takes
	Root       bool       // a root install: each action says whom it runs as, and the server has a user of its own
}

// loader reads all files, and collects what is wrong in them.
type loader struct {
	Options
	trust    Trust
	eyes     *look.Eyes // for files of the policy
	config   *Config
	modules  map[string]*Module
	queues   map[string]*Queue
	settled  map[string]bool   // queues that deputy.toml declares
	queueOf  map[*Action]*node // where an action names its queue
	origin   map[string]string // lower-case module name -> where it is declared
	pending  []pending
	files    []deputy.PolicyFile
	names    *userdb.Reading
	problems []Problem
	warnings []string
}

func newLoader(o Options) *loader {
	if o.Users == nil {
		o.Users = userdb.Open(userdb.Options{})
	}
	l := &loader{
		Options: o, trust: Trust{UIDs: []uint32{o.UID}}, eyes: o.Look.Open("policy"), names: o.Users.Read(),
		modules: map[string]*Module{}, origin: map[string]string{},
		queues: map[string]*Queue{}, settled: map[string]bool{}, queueOf: map[*Action]*node{},
	}
	l.config = l.defaultConfig()
	return l
}

// Load reads everything. The error is a *Problems with all that is wrong;
// warnings are sentences with file:line:column. It waits for the name services,
// for a while, if the local files lack a name.
func Load(o Options) (*Policy, []string, error) {
	l, rules := loadOnce(o)
	if l.names.Await() {
		l, rules = loadOnce(l.Options)
	}
	if err := l.verdict(); err != nil {
		return nil, l.warnings, err
	}
	return &Policy{
		Config: l.config, Modules: l.modules, Queues: l.queues, Rules: rules, Words: l.names.Words, Digest: digestOf(l.files), Files: l.files,
	}, l.warnings, nil
}

func loadOnce(o Options) (*loader, []*Rule) {
	l := newLoader(o)
	var rules []*Rule
	if o.ConfigFile != "" {
		l.readConfig(l.read(o.ConfigFile, true))
	}
	for _, path := range l.manifests() {
		l.addModule(l.read(path, false))
	}
	for _, path := range l.folder(o.AllowDir) {
		rules = append(rules, l.ruleFile(l.read(path, false))...)
	}
	l.checkQueues()
	l.resolve(l.modules)
	return l, rules
}

// Nothing is a policy of defaults that allows nobody anything.
func Nothing(o Options) *Policy {
	l := newLoader(o)
	l.readConfig(nil)
	return &Policy{Config: l.config, Modules: l.modules, Words: l.names.Words, Digest: digestOf(nil)}
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// digestOf covers each file's name, but not where it lies, and its text.
func digestOf(files []deputy.PolicyFile) string {
	h := sha256.New()
	for _, f := range files {
		name := filepath.Base(f.Path)
		if folder := filepath.Base(filepath.Dir(f.Path)); strings.HasSuffix(folder, ".d") {
			name = folder + "/" + name
		}
		fmt.Fprintf(h, "%d %s %d %s", len(name), name, len(f.Text), f.Text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// manifests lists the files of modules.d that count, in the order of their names.
func (l *loader) manifests() []string {
	byName := map[string]string{}
	for _, dir := range l.ModuleDirs {
		for _, path := range l.folder(dir) {
			byName[filepath.Base(path)] = path
		}
	}
	return sorted(byName)
}

// folder lists the *.toml files of a folder in the order of their bytes; none
// if there is no such folder.
func (l *loader) folder(dir string) []string {
	if dir == "" {
		return nil
	}
	s := l.see(look.Want{Path: dir})
	if s == nil || missing(s) {
		return nil
	}
	if err := l.trust.sight(absPath(dir), s); err != nil {
		l.failFile(dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.failFile(dir, advise("see who may read it", "cannot read the folder: %v", err))
	}
	var paths []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".toml") && !strings.HasPrefix(name, ".") {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths
}

// see looks at a path of the policy; nil if nothing answers there.
func (l *loader) see(want look.Want) *look.Sight {
	path := want.Path
	want.Path = absPath(path)
	s, err := l.eyes.See(want)
	if err != nil {
		l.failFile(path, err)
		return nil
	}
	return &s
}

// absPath is a path from / on.
func absPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// maxFile bounds a file of the policy: the journal keeps them whole.
const maxFile = 1 << 20

// read reads and parses one file that must be trusted; nil if it cannot be
// had or is masked. One that is optional may be missing.
func (l *loader) read(path string, optional bool) *node {
	s := l.see(look.Want{Path: path, Head: maxFile + 1})
	if s == nil || optional && missing(s) {
		return nil
	}
	if target, err := os.Readlink(path); err == nil && target == os.DevNull {
		return nil // such a link masks what it replaces
	}
	err := l.trust.sight(absPath(path), s)
	text := s.Head
	switch {
	case err != nil:
	case !s.End().Regular():
		err = advise("write a file there", "cannot read it: it is no regular file")
	case s.Unread != 0:
		err = advise("see who may read it", "cannot read the file: %v", s.Unread)
	case len(text) > maxFile:
		err = advise("make several of it", "the file is longer than 1 MiB")
	}
	if err != nil {
		l.failFile(path, err)
		return nil
	}
	l.files = append(l.files, deputy.PolicyFile{Path: path, Text: string(text)})
	return l.parse(&source{path, text})
}

// addModule reads a manifest and refuses a second module of its name.
func (l *loader) addModule(root *node) {
	if root == nil {
		return
	}
	m := l.module(root)
	lower := strings.ToLower(m.Name)
	if first, ok := l.origin[lower]; ok {
		l.problems = append(l.problems, root.src.problem(at(root.get("name")), fmt.Sprintf("module %q is declared in %s, too", m.Name, first),
			"rename one of them; capitals do not make names differ"))
		return
	}
	l.origin[lower], l.modules[m.Name] = root.src.path, m
}

// ruleFile reads a file of allow.d.
func (l *loader) ruleFile(root *node) (rules []*Rule) {
	if root == nil {
		return nil
	}
	l.table(root, "a file of rules", fields{"allow": func(n *node) { rules = l.rules(n, "", "") }})
	return rules
}

// CheckFiles checks files as Load would, without a daemon: deputy.toml,
// manifests, files of rules, and folders of them. Without paths it checks what
// o names. It says what Load says.
func CheckFiles(paths []string, o Options) (warnings []string, err error) {
	if len(paths) == 0 {
		_, warnings, err := Load(o)
		return warnings, err
	}
	l := checkFiles(paths, o)
	if l.names.Await() {
		l = checkFiles(paths, l.Options)
	}
	return l.warnings, l.verdict()
}

func checkFiles(paths []string, o Options) *loader {
	l := newLoader(o)
	for _, path := range paths {
		l.checkPath(path)
	}
	others := newLoader(o) // rules may be about modules that are not to be checked, and queues declared elsewhere
	if o.ConfigFile != "" {
		others.readConfig(others.read(o.ConfigFile, true))
	}
	for _, path := range others.manifests() {
		others.addModule(others.read(path, false))
	}
	for name, m := range others.modules {
		if l.origin[strings.ToLower(name)] == "" {
			l.modules[name] = m
		}
	}
	for name, q := range others.queues {
		if l.queues[name] == nil {
			l.queues[name] = q
		}
	}
	l.checkQueues()
	if len(l.modules) > 0 {
		l.resolve(l.modules)
	}
	return l
}

// checkPath checks a whole configuration folder, a folder of files, or a file.
func (l *loader) checkPath(path string) {
	info, err := os.Stat(path)
	if err != nil {
		l.failFile(path, advise("correct the path", "cannot look at it: %v", err))
		return
	}
	if !info.IsDir() {
		l.checkFile(path)
		return
	}
	o := l.Options
	if path != filepath.Dir(o.ConfigFile) {
		o.ConfigFile, o.ModuleDirs = filepath.Join(path, "deputy.toml"), []string{filepath.Join(path, "modules.d")}
		o.AllowDir, o.KeysDir = filepath.Join(path, "allow.d"), filepath.Join(path, "keys")
	}
	isThere := func(p string) bool { _, err := os.Stat(p); return err == nil }
	if isThere(o.ConfigFile) || isThere(o.AllowDir) || slices.ContainsFunc(o.ModuleDirs, isThere) {
		_, warnings, err := Load(o)
		l.warnings = append(l.warnings, warnings...)
		if p, ok := errors.AsType[*Problems](err); ok {
			l.problems = append(l.problems, *p...)
		}
		return
	}
	for _, file := range l.folder(path) {
		l.checkFile(file)
	}
}

// checkFile tells by its folder, its name or what stands in it what a file is.
func (l *loader) checkFile(path string) {
	root := l.read(path, false)
	if root == nil {
		return
	}
	folder := filepath.Base(filepath.Dir(root.src.path))
	has := func(keys ...string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return root.get(k) != nil })
	}
	switch {
	case filepath.Base(path) == "deputy.toml", has("listen", "server", "storage", "defaults", "tls") && !has("action"):
		l.readConfig(root)
	case folder == "allow.d", folder != "modules.d" && has("allow") && !has("action", "name"):
		l.ruleFile(root)
	default:
		l.addModule(root)
	}
}

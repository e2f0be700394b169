package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"deputy/internal/monitor/manifest/schema"
	"deputy/internal/monitor/manifest/template"
)

// good is a copy of testdata/good, in which every setting and key stands.
func good(t testing.TB) Options {
	t.Helper()
	o := site(t)
	os.Remove(o.ConfigFile)
	dir := filepath.Dir(o.ConfigFile)
	if err := os.CopyFS(dir, os.DirFS("testdata/good")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cert.pem", "key.pem", "clients.pem"} {
		write(t, filepath.Join(dir, "tls", name), "")
	}
	write(t, filepath.Join(o.KeysDir, "panel"), "secret\n")
	return o
}

func load(t *testing.T, o Options) (*Policy, []string) {
	t.Helper()
	p, warnings, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return p, warnings
}

func TestConfig(t *testing.T) {
	o := good(t)
	dir := filepath.Dir(o.ConfigFile)
	p, warnings := load(t, o)
	server, daemon := p.Config.Server.User, p.Modules["GOOD"].Actions["import"].User
	if server == nil || server.Name != "sys" || server.UID == 0 {
		t.Fatalf("the server runs as %v", server)
	}
	want := &Config{
		Listen: Listen{
			Unix:  UnixListen{Path: dir + "/run/deputy.sock", Mode: 0o660, Group: "daemon", GID: int(daemon.GID)},
			HTTP:  []string{"127.0.0.1:7667", "[::1]:7667"},
			HTTPS: []string{"0.0.0.0:7668"},
			Line:  []string{"127.0.0.1:7000", dir + "/run/line.sock"},
		},
		Keys:    map[string]CallerSettings{"panel": {Legacy: true, NamesEndUser: true, Auditor: true, Operator: true}},
		Users:   map[string]CallerSettings{"root": {NamesEndUser: true}, "uid:1234": {Auditor: true}},
		Server:  ServerSettings{User: server, Name: "gate1"},
		Default: Defaults{Timeout: 12 * time.Hour, StartWithin: 6 * time.Hour, Grace: 5 * time.Second, OutputCap: 4 << 20, Live: 16, Rate: Rate{30, time.Minute}, Connections: 8},
		Storage: Storage{MaxUse: Amount{Bytes: 20 << 30}, KeepFree: Amount{Percent: 7.5}, Keep: 720 * time.Hour},
		TLS:     TLS{Certificate: dir + "/tls/cert.pem", Key: dir + "/tls/key.pem", ClientCA: dir + "/tls/clients.pem"},
	}
	if diff := cmp.Diff(want, p.Config); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantWarnings := []string{
		dir + "/deputy.toml:13:6: whoever sees a message of key panel can send it again: legacy = true",
		dir + "/allow.d/site.toml:5:23: there is no key backup in " + dir + "/keys yet",
	}
	if diff := cmp.Diff(wantWarnings, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestConfigDefaults(t *testing.T) {
	host, _ := os.Hostname()
	for _, root := range []bool{true, false} {
		o := site(t)
		want := &Config{
			Listen:  Listen{Unix: UnixListen{Path: o.Socket, Mode: 0o666, GID: -1}},
			Keys:    map[string]CallerSettings{},
			Users:   map[string]CallerSettings{},
			Server:  ServerSettings{Name: host, Confine: true},
			Default: Defaults{Timeout: 24 * time.Hour, StartWithin: 24 * time.Hour, Grace: 10 * time.Second, OutputCap: 8 << 20, Live: 256, Rate: Rate{100, time.Second}, Connections: 256},
			Storage: Storage{MaxUse: Amount{Percent: 10}, KeepFree: Amount{Percent: 15}, Keep: 2160 * time.Hour},
		}
		if o.Root = root; root {
			want.Listen.Line = []string{"127.0.0.1:6667"}
		} else {
			os.Remove(o.ConfigFile) // it need not exist
		}
		p, _ := load(t, o)
		if diff := cmp.Diff(want, p.Config, cmpopts.IgnoreFields(ServerSettings{}, "User")); diff != "" {
			t.Errorf("root=%t (-want +got):\n%s", root, diff)
		}
		if (p.Config.Server.User != nil) != root {
			t.Errorf("root=%t: the server runs as %v", root, p.Config.Server.User)
		}
	}
}

func TestActions(t *testing.T) {
	o := good(t)
	file := filepath.Join(o.ModuleDirs[1], "good.toml")
	p, _ := load(t, o)
	module := p.Modules["GOOD"]
	daemon := p.Modules["GOOD"].Actions["import"].User
	text := func(s string) *template.Text {
		parsed, err := template.ParseText(s)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	command := func(elements ...any) *template.Command {
		parsed, err := template.ParseCommand(elements)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	unit, ids := module.Actions["restart"].Params["unit"], module.Actions["restart"].Params["ids"]
	if unit.Pattern.String() != "^[a-z][a-z0-9.-]*$" || *unit.MaxLength != 64 || unit.Description != "The unit" || unit.Name != "unit" {
		t.Errorf("unit is %+v", unit)
	}
	if ids.Items.Minimum != int64(1) || *ids.MinItems != 1 || *ids.MaxItems != 100 || !ids.Unique {
		t.Errorf("ids is %+v", ids)
	}
	rule := &Rule{
		Pos: Pos{file, 10, 2}, Actions: []string{"GOOD/*"}, Users: []string{"root", "uid:1234"}, UserNames: []string{"root"}, UIDs: []uint32{1234}, Keys: []string{"panel"},
	}
	restart := &Action{
		Module: "GOOD", Name: "restart", Description: "Restart a service some times", Pos: Pos{file, 14, 9},
		Rules:   []*Rule{rule},
		Command: command("/bin/echo", "restart", "--unit={unit}", []any{"-n", "{count}"}, []any{"--", "{hosts...}"}, "{id}", "{{literal}}"),
		ForEach: &ForEach{Item: "id", List: "ids"}, Lock: text("{unit}/{id}"), OnBusy: Rerun,
		RunsAs: "daemon", User: daemon, Groups: []string{"daemon", "gid:4"}, GIDs: []uint32{daemon.GID, 4}, Directory: "/tmp",
		Env:            map[string]*template.Text{"LANG": text("de_DE.UTF-8"), "TZ": text("{unit}"), "EMPTY": text("")},
		StderrToStdout: true, StopSignal: 2, Grace: 2 * time.Second, Linger: 2 * time.Second, Timeout: 0, StartWithin: time.Hour, Stoppable: false, SuccessCodes: []int{0, 3},
		OutputCap: 64 << 10, Keep: 168 * time.Hour, MaxBody: 2 << 20, Rate: Rate{5, time.Minute},
	}
	same := cmp.Options{cmpopts.IgnoreFields(Action{}, "Params", "Digest"),
		cmp.Exporter(func(of reflect.Type) bool { return strings.HasPrefix(of.PkgPath(), "deputy/") })}
	if diff := cmp.Diff(restart, module.Actions["restart"], same); diff != "" {
		t.Errorf("restart (-want +got):\n%s", diff)
	}
	cancel := *restart
	cancel.Name, cancel.Description, cancel.Pos, cancel.Stops = "cancel", "", Pos{file, 39, 9}, "restart"
	cancel.Command, cancel.User, cancel.RunsAs, cancel.Groups, cancel.GIDs, cancel.Env = nil, nil, "", nil, nil, nil
	cancel.OnBusy, cancel.Directory, cancel.StderrToStdout, cancel.StopSignal, cancel.Grace = Join, "/", false, 15, 5*time.Second
	cancel.StartWithin = 6 * time.Hour // what deputy.toml says
	cancel.Timeout, cancel.Stoppable, cancel.SuccessCodes, cancel.OutputCap, cancel.Keep, cancel.MaxBody, cancel.Rate = 5*time.Minute, true, []int{0}, 4<<20, 0, 64<<10, Rate{}
	if diff := cmp.Diff(&cancel, module.Actions["cancel"], same); diff != "" {
		t.Errorf("cancel (-want +got):\n%s", diff)
	}
	passwd := module.Actions["passwd"]
	if len(passwd.Rules) != 1 || !slices.Equal(passwd.Rules[0].Actions, []string{"GOOD/passwd"}) || !slices.Equal(passwd.Rules[0].EndUsers, []string{"alice"}) {
		t.Errorf("an action's own rules must replace its module's: %+v", passwd.Rules)
	}
	if passwd.User.UID != 0 || passwd.User.Home != "/root" || passwd.User.Shell == "" || !slices.Contains(passwd.User.Groups, 0) {
		t.Errorf("root is %+v", passwd.User)
	}
	imported := module.Actions["import"]
	if diff := cmp.Diff(&StdinFile{Path: text("{file}"), Under: "/srv"}, imported.StdinFile, same); diff != "" {
		t.Errorf("stdin_file (-want +got):\n%s", diff)
	}
	for name, want := range map[string][]string{
		"restart": {"count", "hosts", "ids", "unit"}, "cancel": {"ids", "unit"}, "passwd": {"password"}, "import": {"file"},
		"report": {"ids", "rows", "unit"}, // {params} is all of them
	} {
		if got := names(module.Actions[name].Params); !slices.Equal(got, want) {
			t.Errorf("%s has the params %q, want %q", name, got, want)
		}
	}
}

func names(params map[string]*schema.Param) (all []string) {
	for name := range params {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func TestRules(t *testing.T) {
	o := good(t)
	file := filepath.Join(o.AllowDir, "site.toml")
	p, _ := load(t, o)
	want := []*Rule{
		{Pos: Pos{file, 1, 3}, Actions: []string{"GOOD/restart", "plain/*"}, Users: []string{"root"}, UserNames: []string{"root"},
			Groups: []string{"daemon", "gid:1234"}, GroupNames: []string{"daemon"}, GIDs: []uint32{1234}, Keys: []string{"panel", "backup"},
			EndUsers: []string{"alice"}, Stop: true, Read: true},
		{Pos: Pos{file, 10, 3}, Actions: []string{"GOOD/restart", "GOOD/cancel"}, Users: []string{"uid:1234"}, UIDs: []uint32{1234},
			Where: map[string][]any{"unit": {"nginx", "{end_user}"}, "ids": {int64(1), int64(2)}}},
		{Pos: Pos{file, 15, 3}, Actions: []string{"*"}, Users: []string{"root"}, UserNames: []string{"root"}},
	}
	if diff := cmp.Diff(want, p.Rules); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFiles says which files count: the same name in a later folder replaces, a
// link to /dev/null masks, and what is hidden or a backup is not looked at.
func TestFiles(t *testing.T) {
	o := site(t)
	manifest := func(name string) string {
		return "name = \"" + name + "\"\nuser = \"root\"\naction.run.command = [\"/bin/true\"]\n"
	}
	vendor, etc := o.ModuleDirs[0], o.ModuleDirs[1]
	write(t, vendor+"/b.toml", manifest("replaced"))
	write(t, etc+"/b.toml", manifest("replacing"))
	write(t, vendor+"/c.toml", manifest("masked"))
	if err := os.Symlink("/dev/null", etc+"/c.toml"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", o.AllowDir+"/masked.toml"); err != nil {
		t.Fatal(err)
	}
	write(t, vendor+"/d.toml", manifest("kept"))
	write(t, etc+"/a.toml", manifest("first"))
	for _, name := range []string{".x.toml", "x.toml~", "x.toml.dpkg-new", "#x.toml#", "README"} {
		write(t, etc+"/"+name, "this is nothing that could be read")
	}
	p, _ := load(t, o)
	var got []string
	for _, f := range p.Files {
		got = append(got, strings.TrimPrefix(f.Path, filepath.Dir(o.ConfigFile)))
	}
	want := []string{"/deputy.toml", "/modules.d/a.toml", "/modules.d/b.toml", "/vendor/modules.d/d.toml"}
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if len(p.Modules) != 3 || p.Modules["first"] == nil || p.Modules["replacing"] == nil || p.Modules["kept"] == nil {
		t.Errorf("the modules are %v", p.Modules)
	}

	write(t, etc+"/e.toml", manifest("KEPT"))
	_, _, err := Load(o)
	wantErr := etc + "/e.toml:1:8: module \"KEPT\" is declared in " + vendor + "/d.toml, too\n" +
		"    name = \"KEPT\"\n           ^ rename one of them; capitals do not make names differ"
	if err == nil || err.Error() != wantErr {
		t.Errorf("got %v\nwant %s", err, wantErr)
	}
}

// TestDigest: it tells other texts and other names, not other places.
func TestDigest(t *testing.T) {
	a, b := good(t), good(t)
	first, _ := load(t, a)
	second, _ := load(t, b)
	if first.Digest != second.Digest || len(first.Digest) != 64 {
		t.Errorf("the same files in two places: %s and %s", first.Digest, second.Digest)
	}
	path := filepath.Join(b.ModuleDirs[1], "plain.toml")
	write(t, path, read(t, path)+"# more\n")
	third, _ := load(t, b)
	if third.Digest == first.Digest || third.Modules["plain"].Digest == first.Modules["plain"].Digest {
		t.Error("another text has the same digest")
	}
	if third.Modules["GOOD"].Digest != first.Modules["GOOD"].Digest {
		t.Error("a module's digest changed with another module")
	}
	if err := os.Rename(filepath.Join(a.AllowDir, "site.toml"), filepath.Join(a.AllowDir, "other.toml")); err != nil {
		t.Fatal(err)
	}
	if renamed, _ := load(t, a); renamed.Digest == first.Digest {
		t.Error("another name has the same digest")
	}
}

// TestUp: without a root install the user of an action is who runs deputy.
func TestUp(t *testing.T) {
	o := site(t)
	o.Root, o.UID = false, 1 // daemon, on every Linux
	l := newLoader(o)
	l.trust = Trust{UIDs: []uint32{uint32(os.Getuid())}}
	path := filepath.Join(o.ModuleDirs[1], "m.toml")
	write(t, path, "[action.self]\ncommand = [\"/bin/true\"]\n[action.same]\nuser = \"daemon\"\ncommand = [\"/bin/true\"]\n"+
		"[action.other]\nuser = \"root\"\ngroups = [\"daemon\"]\ncommand = [\"/bin/true\"]\n")
	m := l.module(l.read(path, false))
	want := path + ":7:8: cannot run as user \"root\": deputy itself runs as uid 1\n    user = \"root\"\n           ^ remove the line, or install deputy as root\n" +
		path + ":8:1: cannot change groups: deputy itself runs as uid 1\n    groups = [\"daemon\"]\n    ^ remove the line, or install deputy as root"
	if err := l.verdict(); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	for _, name := range []string{"self", "same"} {
		if u := m.Actions[name].User; u == nil || u.UID != 1 {
			t.Errorf("%s runs as %v", name, u)
		}
	}
}

func TestNothing(t *testing.T) {
	o := site(t)
	p := Nothing(o)
	if len(p.Modules)+len(p.Rules) != 0 || p.Config.Listen.Unix.Path != o.Socket || p.Config.Default.Live != 256 {
		t.Errorf("got %+v", p)
	}
}

func TestUnreadable(t *testing.T) {
	o := site(t)
	path := filepath.Join(o.ModuleDirs[1], "m.toml")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(o.AllowDir, "long.toml"), strings.Repeat("#", 1<<20+1))
	_, _, err := Load(o)
	want := o.AllowDir + "/long.toml: the file is longer than 1 MiB\n    make several of it\n" +
		path + ": cannot read it: it is no regular file\n    write a file there"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestCheckFiles(t *testing.T) {
	o := good(t)
	dir := filepath.Dir(o.ConfigFile)
	apart := t.TempDir()
	write(t, apart+"/manifest.toml", "[action.run]\ncommand = [\"/bin/true\"]\n")
	write(t, apart+"/rules.toml", "[[allow]]\nactions = [\"GOOD/*\", \"nosuch/*\"]\nusers = [\"root\"]\n")
	write(t, apart+"/config.toml", "[server]\nuser = \"sys\"\n[listen]\nhttp = [\"0.0.0.0:80\"]\n")
	write(t, apart+"/modules.d/rules.toml", "[allow]\nusers = [\"root\"]\n")
	for _, c := range []struct {
		paths []string
		want  []string // what the problems begin with
	}{
		{nil, nil},
		{[]string{dir}, nil},
		{[]string{dir + "/modules.d"}, nil},
		{[]string{dir + "/modules.d/plain.toml", dir + "/allow.d/site.toml"}, nil},
		{[]string{dir + "/allow.d"}, nil},
		{[]string{apart + "/manifest.toml"}, []string{apart + "/manifest.toml:1:9: action \"run\" does not say"}},
		{[]string{apart + "/rules.toml"}, []string{apart + "/rules.toml:2:22: there is no module \"nosuch\""}},
		{[]string{apart + "/config.toml"}, []string{apart + "/config.toml:4:9: http: 0.0.0.0 is not"}},
		{[]string{apart + "/modules.d"}, []string{apart + "/modules.d/rules.toml:1:1: a manifest without actions"}},
		{[]string{apart + "/nosuch"}, []string{apart + "/nosuch: cannot look at it"}},
	} {
		var got Problems
		if _, err := CheckFiles(c.paths, o); err != nil {
			p, ok := errors.AsType[*Problems](err)
			if !ok {
				t.Fatalf("%q: the error is a %T", c.paths, err)
			}
			got = *p
		}
		if len(got) != len(c.want) {
			t.Errorf("%q: got %v, want %q", c.paths, &got, c.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i].String(), c.want[i]) {
				t.Errorf("%q: got %s, want %s", c.paths, got[i], c.want[i])
			}
		}
	}
}

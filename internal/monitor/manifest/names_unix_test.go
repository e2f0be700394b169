//go:build unix

package manifest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deputy/internal/monitor/userdb"
)

// A name that nobody has is no mistake in the files: a rule grants it nothing,
// an action that needs it is refused alone, and each is said with its place.
func TestNamesThatNobodyHas(t *testing.T) {
	o := site(t)
	write(t, o.ConfigFile, "[server]\nuser = \"sys\"\n[user.nosuchuser]\nauditor = true\n")
	write(t, filepath.Join(o.ModuleDirs[1], "m.toml"), `user = "daemon"
[action.good]
command = ["/bin/true"]
[action.lost]
user = "nosuchuser"
command = ["/bin/true"]
[action.alone]
groups = ["nosuchgroup", "gid:5"]
command = ["/bin/true"]
`)
	write(t, filepath.Join(o.AllowDir, "site.toml"), `[[allow]]
actions = ["*"]
users = ["nosuchuser", "daemon"]
groups = ["nosuchgroup"]
`)
	p, warnings := load(t, o)
	dir := filepath.Dir(o.ConfigFile)
	for i, w := range warnings {
		warnings[i] = strings.TrimPrefix(w, dir+"/")
	}
	slices.Sort(warnings)
	const user, group = `there is no user "nosuchuser"; create it (useradd --system nosuchuser) or correct the name`, `there is no group "nosuchgroup"; create it (groupadd --system nosuchgroup) or correct the name`
	want := []string{
		"allow.d/site.toml:3:10: the rule grants it nothing: " + user,
		"allow.d/site.toml:4:11: the rule grants it nothing: " + group,
		"deputy.toml:3:7: the table is for nobody: " + user,
		"modules.d/m.toml:5:1: what runs as it is refused: " + user,
		"modules.d/m.toml:8:11: what needs it is refused: " + group,
	}
	if !slices.Equal(warnings, want) {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(warnings, "\n"), strings.Join(want, "\n"))
	}
	if a := p.Modules["m"].Actions["lost"]; a.RunsAs != "nosuchuser" || a.User == nil || a.User.UID != userdb.NoID {
		t.Errorf("%+v", a)
	}
	if a := p.Modules["m"].Actions["alone"]; !slices.Equal(a.GIDs, []uint32{userdb.NoID, 5}) {
		t.Errorf("%+v", a.GIDs)
	}
	if n, ok := p.Words.Users["nosuchuser"]; !ok || n != userdb.NoID || p.Words.Users["daemon"] != 1 || p.Words.Groups["nosuchgroup"] != userdb.NoID {
		t.Errorf("%+v", p.Words)
	}
}

// Numbers need no entry in the user database, however they are written.
func TestNumbersAreTaken(t *testing.T) {
	o := site(t)
	write(t, o.ConfigFile, "[server]\nuser = \"sys\"\n[user.4000000001]\nauditor = true\n")
	write(t, filepath.Join(o.ModuleDirs[1], "m.toml"), `user = 4000000000
[action.a]
command = ["/bin/true"]
groups = [4000000002, "4000000003", "gid:4000000004"]
[action.b]
user = "4000000005"
command = ["/bin/true"]
[action.c]
user = "uid:4000000006"
command = ["/bin/true"]
[[allow]]
users = [4000000007, "4000000008", "uid:4000000009"]
groups = [4000000010, "4000000011", "gid:4000000012"]
`)
	p, warnings := load(t, o)
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	a, b, c := p.Modules["m"].Actions["a"], p.Modules["m"].Actions["b"], p.Modules["m"].Actions["c"]
	if a.User.UID != 4000000000 || b.User.UID != 4000000005 || c.User.UID != 4000000006 || c.RunsAs != "uid:4000000006" || b.User.GID != userdb.Nobody || b.User.Home != "/" {
		t.Errorf("%+v %+v %+v", a.User, b.User, c.User)
	}
	if !slices.Equal(a.GIDs, []uint32{4000000002, 4000000003, 4000000004}) {
		t.Error(a.GIDs)
	}
	r := a.Rules[0]
	if !slices.Equal(r.UIDs, []uint32{4000000007, 4000000008, 4000000009}) || !slices.Equal(r.GIDs, []uint32{4000000010, 4000000011, 4000000012}) || len(r.UserNames)+len(r.GroupNames) > 0 {
		t.Errorf("%+v", r)
	}
	if !p.Config.Users["uid:4000000001"].Auditor {
		t.Errorf("%+v", p.Config.Users)
	}
}

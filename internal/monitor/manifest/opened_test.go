//go:build linux

package manifest

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOpened: what a task is handed follows the order in which the params are
// declared, its module's and its own, and not that of the command.
func TestOpened(t *testing.T) {
	o := site(t)
	write(t, filepath.Join(o.ModuleDirs[1], "m.toml"), `user = "daemon"
params.zone = { type = "string", format = "path", under = "/srv/zones", file = true }
params.files = { type = "array", items = { type = "string", format = "path", under = "/srv/many", file = true } }
[action.load]
command = ["/bin/echo", "--db={db}", ["--log", "{log}"], "{zone}", "{zone}"]
lock = "{zone}"
env = { ZONE = "{zone}" }
params.log = { type = "string", format = "path", under = "/var/log", file = true, optional = true }
params.db = { type = "string", format = "path", under = "/srv/db", file = true }
[action.each]
for_each = "file in files"
command = ["/bin/echo", "{file}", "{zone}"]
[action.feed]
for_each = "file in files"
command = ["/bin/cat"]
stdin_file = "{file}"
`)
	p, _ := load(t, o)
	actions := p.Modules["m"].Actions
	for name, want := range map[string][]OpenedFile{
		"load": {{"zone", "/srv/zones"}, {"log", "/var/log"}, {"db", "/srv/db"}},
		"each": {{"zone", "/srv/zones"}, {"file", "/srv/many"}},
		"feed": nil,
	} {
		if d := cmp.Diff(want, actions[name].Opened); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if got := actions["feed"].StdinFile.Under; got != "/srv/many" {
		t.Errorf("stdin_file of an item lies under %q", got)
	}
}

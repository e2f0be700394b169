package manifest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDangers: what is easily more than was meant is warned of, at its place.
func TestDangers(t *testing.T) {
	o := site(t)
	path := filepath.Join(o.ModuleDirs[1], "m.toml")
	write(t, path, `params.text = { type = "string", maxLength = 9 }
params.texts = { type = "array", items = { type = "string" } }
params.path = { type = "string", format = "path", under = "/srv" }
params.file = { type = "string", format = "path", under = "/srv", file = true }
params.bound = { type = "string", pattern = "^a+$" }
params.one = { type = "string", enum = ["a"] }
params.host = { type = "string", format = "host" }
params.n = { type = "integer" }
params.secret = { type = "string", sensitive = true }
[action.root]
user = "root"
command = ["/bin/echo", "{text}", "{texts...}", "{path}", "{bound}", "{one}", "{host}", "{n}", "{text}"]
stdin = "{secret}"
[action.file]
user = "root"
for_each = "item in texts"
command = ["/bin/echo", "{file}"]
env = { ITEM = "{item}" }
lock = "{text}"
[action.daemon]
user = "daemon"
command = ["/bin/echo", "{text}", "{path}"]
`)
	p, warnings := load(t, o)
	text := "{text} may be any text, for a command of root's; say what it may be: enum, pattern or format"
	inPath := "the path in {path} was checked as text alone: the program follows whatever links stand there; write file = true beside under, and it gets the open file"
	want := []string{
		path + ":12:25: m/root: " + text,
		path + ":12:35: m/root: " + strings.Replace(text, "{text}", "{texts}", 1),
		path + ":12:49: m/root: " + inPath,
		path + ":18:9: m/file: " + strings.Replace(text, "{text}", "{item}", 1),
		path + ":22:35: m/daemon: " + inPath,
	}
	if d := cmp.Diff(want, warnings); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := p.Modules["m"].Actions["root"].Warnings; len(got) != 3 || !slices.Contains(got, inPath) {
		t.Errorf("the action has %q", got)
	}
}

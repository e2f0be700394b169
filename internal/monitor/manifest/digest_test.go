package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What binds a task that waits is what would run, and how; not who may ask for it, how it
// is described, where it waits, nor what other actions of its module are.
func TestTheDigestOfAnActionIsWhatWouldRun(t *testing.T) {
	const text = `
description = "d"
user = "root"
timeout = "1h"
[allow]
users = ["USER"]
[queue.q]
[action.a]
command = ["/bin/echo", "{x}"]
params.x = { type = "string", enum = ["y"] }
queue = "q"
[action.b]
command = ["/bin/echo"]
`
	digestOf := func(text string) string {
		t.Helper()
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "modules.d"), 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "modules.d", "m.toml")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "USER", "root")), 0o644); err != nil {
			t.Fatal(err)
		}
		p, _, err := Load(Options{ModuleDirs: []string{filepath.Dir(file)}, UID: uint32(os.Geteuid())})
		if err != nil {
			t.Fatal(err)
		}
		return p.Modules["m"].Actions["a"].Digest
	}
	whole := digestOf(text)
	for change, same := range map[string]bool{
		`"d"|"other"`:                                     true,
		`queue = "q"|`:                                    true,
		`[action.b]|[action.c]`:                           true,
		`[queue.q]|[queue.q]` + "\nparallel = 3":          true,
		`users = ["USER"]|users = ["USER", "0"]`:          true,
		`"1h"|"2h"`:                                       false,
		`["/bin/echo", "{x}"]|["/bin/echo", "-n", "{x}"]`: false,
		`["y"]|["y", "z"]`:                                false,
	} {
		old, now, _ := strings.Cut(change, "|")
		changed := strings.Replace(text, old, now, 1)
		if changed == text {
			t.Fatalf("%s changes nothing", change)
		}
		if got := digestOf(changed) == whole; got != same {
			t.Errorf("%s: the digest is the same: %v", change, got)
		}
	}
}

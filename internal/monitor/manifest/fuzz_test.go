package manifest

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad: no bytes make the reader panic; what is wrong has a place in the
// file; and what is accepted is accepted again, as the same.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/refused/*/*.toml", "testdata/good/*/*.toml", "testdata/good/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			f.Add([]byte(read(f, file)))
		}
	}
	o := site(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, path := range []string{o.ConfigFile, filepath.Join(o.ModuleDirs[1], "m.toml"), filepath.Join(o.AllowDir, "r.toml")} {
			l, again := newLoader(o), newLoader(o)
			for _, l := range []*loader{l, again} {
				root := l.parse(&source{path, text})
				switch filepath.Base(path) {
				case "deputy.toml":
					l.readConfig(root)
				case "m.toml":
					l.addModule(root)
				default:
					l.ruleFile(root)
				}
				l.resolve(l.modules)
			}
			first, second := l.verdict(), again.verdict()
			if (first == nil) != (second == nil) || first != nil && first.Error() != second.Error() {
				t.Fatalf("read twice: %v, then %v", first, second)
			}
			lines := strings.Count(string(text), "\n") + 1
			for _, p := range l.problems {
				if p.Message == "" || p.Pos.Line > lines || p.Pos.Line > 0 && p.Pos.Col > len(text)+1 {
					t.Errorf("problem %+v in %d lines", p, lines)
				}
			}
			for _, m := range l.modules {
				for _, a := range m.Actions {
					if first == nil && a.Stops == "" && (a.Command == nil || a.User == nil || a.Params == nil) {
						t.Errorf("accepted an action without a command, a user or params: %+v", a)
					}
				}
			}
		}
	})
}

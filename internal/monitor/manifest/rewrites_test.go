//go:build unix

package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCutIn(t *testing.T) {
	for text, want := range map[string]string{
		"echo x > /dev/stderr":              "> /dev/stderr",
		"echo x >/dev/stdout":               ">/dev/stdout",
		"a\n  exec 2>/dev/stderr\n":         ">/dev/stderr",
		"echo x >|/dev/fd/2":                ">|/dev/fd/2",
		"x &>/proc/self/fd/1":               ">/proc/self/fd/1",
		"x | tee /dev/stderr | y":           "tee /dev/stderr",
		"echo x >> /dev/stderr":             "",
		"echo x >&2; y 1<>/dev/stdout":      "",
		"x | tee -a /dev/stderr":            "",
		"awk '{ print > \"/dev/stderr\" }'": "",
		"  # echo x > /dev/stderr":          "",
		"echo x >/dev/stderrs":              "",
		"echo x >/dev/null":                 "",
	} {
		if _, what := cutIn(text); what != want {
			t.Errorf("%q: %q, want %q", text, what, want)
		}
	}
}

// A script that does away with its own output is warned about at the load.
func TestCutsAreWarnedOf(t *testing.T) {
	o := site(t)
	dir := filepath.Dir(o.ConfigFile)
	long := "#!/bin/sh\n" + strings.Repeat("# "+strings.Repeat("x", 97)+"\n", 20)
	for name, text := range map[string]string{
		"cuts.sh": long + "echo x > /dev/stderr\n", "appends.sh": long + "echo x >> /dev/stderr\n", "binary": "#!/bin/sh\n\x00 > /dev/stderr\n",
	} {
		write(t, filepath.Join(dir, "bin", name), text)
		if err := os.Chmod(filepath.Join(dir, "bin", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(o.ModuleDirs[1], "m.toml")
	write(t, path, strings.ReplaceAll(`user = "root"
[action.script]
command = ["DIR/bin/cuts.sh"]
[action.operand]
command = ["/bin/sh", "DIR/bin/cuts.sh", "x"]
[action.text]
command = ["/bin/sh", "-c", "echo x > /dev/stderr"]
[action.good]
command = ["/bin/sh", "DIR/bin/appends.sh"]
[action.binary]
command = ["DIR/bin/binary"]
`, "DIR", dir))
	_, warnings := load(t, o)
	const why = `/dev/stderr", which cuts what was written there before: write >&2, or >> and the name`
	want := []string{
		path + ":3:12: line 22 of " + dir + `/bin/cuts.sh has "> ` + why,
		path + ":5:23: line 22 of " + dir + `/bin/cuts.sh has "> ` + why,
		path + `:7:29: it has "> ` + why,
	}
	if strings.Join(warnings, "\n") != strings.Join(want, "\n") {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(warnings, "\n"), strings.Join(want, "\n"))
	}
}

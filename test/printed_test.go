//go:build linux

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"deputy/test/rig"
)

// What deputy new prints for a shell, PHP, Python and curl runs as it stands, where the
// clients lie as they are installed, also with a value that each of them must quote.
func TestThePrintedLinesRun(t *testing.T) {
	d := begin(t, "", nil)
	place := t.TempDir()
	for name, from := range map[string]string{"bin/deputy": filepath.Join(rig.Programs(t), "deputy"), "share/deputy/clients/Deputy.php": "../clients/php/Deputy.php", "share/deputy/clients/deputy.py": "../clients/python/deputy.py"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(place, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(place, name), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	env := append(d.Command().Env, "PATH="+filepath.Join(place, "bin")+":"+os.Getenv("PATH"), "DEPUTY_SOCKET="+d.Socket, "PYTHONDONTWRITEBYTECODE=1")
	run := func(argv ...string) string {
		t.Helper()
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = env
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v: %s", argv, err, text)
		}
		return string(text)
	}
	const value = `it's "a" \ b $HOME é`
	printed := run(filepath.Join(place, "bin/deputy"), "new", "m/say", "--config", d.Config, "--allow", text("uid:%d", os.Geteuid()),
		"--param", "text="+value+"|other", "--param", "n:integer=7|8", "--param", "yes:boolean", "--param", "list=a'b", "--", "/bin/echo", "{text}", "{n}", "{yes}", "{list...}")
	block := func(name string) string {
		t.Helper()
		m := regexp.MustCompile(`(?ms)^  ` + name + ` +(.*?)\n(\n|\z)`).FindStringSubmatch(printed + "\n")
		if m == nil {
			t.Fatalf("no %s in %s", name, printed)
		}
		return regexp.MustCompile(`(?m)^ {10}`).ReplaceAllString(m[1], "")
	}
	const said = value + " 7 true a'b\n"
	if got := run("sh", "-c", block("shell")); got != said {
		t.Errorf("the shell's line: %q", got)
	}
	if got := run("php", "-r", block("PHP")+` echo $r->stdout;`); got != said {
		t.Errorf("PHP's lines: %q", got)
	}
	if got := run("python3", "-c", block("Python")+"\nprint(r.stdout, end='')"); got != said {
		t.Errorf("Python's lines: %q", got)
	}
	if got := run("sh", "-c", "curl() { command curl -sS \"$@\"; }\n"+block("curl")); !strings.Contains(got, `"state":"succeeded"`) {
		t.Errorf("curl's line: %q", got)
	}
}

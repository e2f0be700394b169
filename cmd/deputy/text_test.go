package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// every gives each verb that is shown, the root first.
func every(t *testing.T) []*cobra.Command {
	t.Helper()
	var list []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		list = append(list, cmd)
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(newRoot(&app{getenv: os.Getenv}))
	return list
}

func TestHelp(t *testing.T) {
	for _, cmd := range every(t) {
		t.Run(manName(cmd), func(t *testing.T) {
			args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
			r := deputyRun(t, "/nowhere", setting{}, args...)
			if r.status != 0 || r.err != "" {
				t.Errorf("exit %d, stderr %q", r.status, r.err)
			}
			golden(t, "help-"+manName(cmd)+".txt", r.out)
		})
	}
}

func TestEveryVerbIsDocumented(t *testing.T) {
	for _, cmd := range every(t) {
		for what, text := range map[string]string{
			"a short text": cmd.Short, "a long text": cmd.Long, "an example": cmd.Example, "an exit status": cmd.Annotations[exitStatus],
		} {
			if text == "" {
				t.Errorf("%s has not %s", cmd.CommandPath(), what)
			}
		}
		if strings.HasSuffix(cmd.Short, ".") || strings.Contains(cmd.Short, "\n") {
			t.Errorf("%s: the short text is not one line without a full stop", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 90 {
				t.Errorf("%s: a line of %d characters: %s", cmd.CommandPath(), n, line)
			}
		}
		if cmd.HasParent() && cmd.Parent().Name() == "deputy" && cmd.GroupID == "" {
			t.Errorf("%s stands nowhere on the first screen", cmd.CommandPath())
		}
	}
}

func TestVerbsInOrder(t *testing.T) {
	var got []string
	for _, cmd := range every(t) {
		if cmd.HasParent() && !cmd.Parent().HasParent() {
			got = append(got, cmd.Name())
		}
	}
	want := "run call ps show logs wait stop actions explain new check reload events audit key up status doctor service queue drain selftest upgrade progress cgi completion version"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

func TestManualPagesAreCurrent(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "man")
	pages := manPages(newRoot(&app{getenv: os.Getenv}))
	for name, text := range pages {
		compare(t, filepath.Join(dir, name), text)
	}
	there, err := filepath.Glob(filepath.Join(dir, "deputy*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if _, ok := pages[filepath.Base(path)]; !ok {
			t.Errorf("%s is about no verb", path)
		}
	}
}

// The manual page names every variable that the command line reads, but for those of
// CGI, which deputy cgi is given by a web server, and of Windows.
func TestTheEnvironmentIsDocumented(t *testing.T) {
	page := manPages(newRoot(&app{getenv: os.Getenv}))["deputy.1"]
	_, page, _ = strings.Cut(page, ".SH ENVIRONMENT")
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "cgi.go" || strings.HasSuffix(file, "_windows.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`[gG]etenv\("([A-Z_]+)"\)`).FindAllStringSubmatch(string(text), -1) {
			found++
			if !strings.Contains(page, m[1]) {
				t.Errorf("%s reads %s, of which deputy(1) says nothing", file, m[1])
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d variables were found", found)
	}
}

func TestManVerbWrites(t *testing.T) {
	dir := t.TempDir()
	if r := deputyRun(t, "/nowhere", setting{}, "man", dir); r.status != 0 {
		t.Fatal(r)
	}
	text, err := os.ReadFile(filepath.Join(dir, "deputy-run.1"))
	if err != nil || !strings.Contains(string(text), ".SH EXIT STATUS") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestWrongCommandLines(t *testing.T) {
	tests := []struct {
		args   string
		status int
		say    string
	}{
		{"pss", 2, `deputy: there is no verb "pss"; did you mean: deputy ps; see: deputy --help`},
		{"help nothing", 2, `deputy: there is no verb "nothing"; see: deputy --help`},
		{"ps now", 2, "deputy: deputy ps takes no argument; see: deputy ps --help"},
		{"ps --limit 0", 2, "deputy: --limit must be at least 1"},
		{"ps --state dead", 2, `deputy: there is no state "dead"; the states are queued, awaiting_approval, running, stopping, succeeded, failed, stopped, timed_out, expired, rejected, unknown`},
		{"ps --since yesterday", 2, `deputy: "yesterday" is not a time; write how long ago, like 2h, or 2006-01-02T15:04:05Z`},
		{"ps --caller nosuchuser", 2, `deputy: there is no user "nosuchuser"; write a user's name, uid:N or key:NAME`},
		{"stop", 2, "deputy: deputy stop needs the id of a task; see: deputy stop --help"},
		{"stop --grace soon x", 2, `deputy: --grace: "soon" is no time; write a number with its unit, like 10s, 5m or 2h; see: deputy stop --help`},
		{"status --timeout 1", 2, `deputy: --timeout: "1" is no time; write a number with its unit, like 10s, 5m or 2h; see: deputy status --help`},
		{"wait --timeout -1s x", 125, "deputy: --timeout must not be negative"},
		{"ps -n x", 2, `deputy: -n, --limit: "x" is not a whole number; see: deputy ps --help`},
		{"ps -n -1", 2, "deputy: --limit must be at least 1"},
		{"logs -n -1", 2, "deputy: --lines must not be negative"},
		{"events -n -1", 2, "deputy: --count must be at least 1"},
		{"events --from 2 --since 1h", 2, "deputy: --from and --since each say where to begin: give one of them"},
		{"call m a x=@- y=@-", 2, "deputy: y=@- cannot read stdin, which is read for x already"},
		{"stop xyz", 2, `deputy: "xyz" is not a task's id; give its last 8 characters, or @ for your newest`},
		{"logs --since 1h abc", 2, "deputy: --since picks tasks, not lines: output carries no times. Leave out the id, or take -n"},
		{"call m", 2, "deputy: deputy call needs a module and an action; see: deputy call --help"},
		{"call m a novalue", 2, `deputy: "novalue" is not name=value`},
		{"call m a --params {} a=b", 2, `deputy: --params gives all the params: "a=b" cannot stand beside it`},
		{"run m", 125, "deputy: deputy run needs a module and an action; see: deputy run --help"},
		{"run --nope m a", 125, "deputy: unknown flag: --nope; see: deputy run --help"},
		{"wait", 125, "deputy: deputy wait needs the id of a task; see: deputy wait --help"},
		{"audit prove", 2, `deputy: deputy audit has no verb "prove"; see: deputy audit --help`},
		{"audit export", 2, "deputy: deputy audit export needs --head: the head is what there is to export"},
		{"completion csh", 2, `deputy: no completion for "csh"; there is one for bash, zsh, fish and powershell`},
		{"new panel/restart /bin/true", 2, "deputy: deputy new takes MODULE/ACTION, then -- and the command; see: deputy new --help"},
		{"key new _ci", 2, "deputy: a key's name has letters, digits and . _ -, at most 63, and begins with a letter or a digit"},
		{"new panel -- /bin/true", 2, `deputy: "panel" is not MODULE/ACTION: each begins with a letter and holds letters, digits, _ and - (at most 31)`},
		{"new panel/x -- true", 2, "deputy: the command must begin with a whole path, like /usr/bin/true"},
		{"new panel/x --param a:b -- /bin/true", 2, `deputy: --param "a:b" is neither NAME=one|two, nor NAME=^PATTERN$, nor NAME:TYPE with string, integer, number, boolean or array`},
		{"new panel/x --param a:string -- /bin/true", 2, "deputy: --param a: the command has no {a}"},
		{"new panel/x --print --allow what:ever -- /bin/true", 2, `deputy: --allow "what:ever" is not a user, uid:N, group:NAME or key:NAME`},
	}
	socket := listen(t, newDaemon())
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			r := deputyRun(t, socket, setting{}, strings.Fields(test.args)...)
			if r.status != test.status || r.err != test.say+"\n" {
				t.Errorf("got %swant exit %d\n%s", r, test.status, test.say)
			}
		})
	}
}

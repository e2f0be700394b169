//go:build linux

package clients

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestShellValues: what a file holds reaches the task as it is, or is refused.
func TestShellValues(t *testing.T) {
	d := start(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("0123456789\n", 60_000)
	for _, c := range []struct {
		name, stdin string
		args        []string
		out         string
		status      int
		err         string // a part of stderr
	}{
		{"one line, for one", "", []string{"dash", "text@" + file("line", "one\n")}, "one", 0, ""},
		{"one line, for several", "", []string{"echo", "text@" + file("line", "one\n")}, "one\n", 0, ""},
		{"a line feed alone", "", []string{"echo", "text@" + file("feed", "\n")}, "\n", 0, ""},
		{"several line feeds", "", []string{"echo", "text@" + file("feeds", "\n\na\n\n")}, "\n\na\n\n", 0, ""},
		{"a line without an end", "", []string{"echo", "text@" + file("open", "a\nb")}, "a\nb", 0, ""},
		{"nothing", "", []string{"large", "text@" + file("none", "")}, "", 0, ""},
		{"two lines for one", "", []string{"dash", "text@" + file("two", "a\nb\n")}, "", 125, "bad_param (422)"},
		{"quotes and controls", "", []string{"echo", "text@" + file("odd", "\"\\\t\x01\u00e9\r\n")}, "\"\\\t\x01\u00e9\r\n", 0, ""},
		{"beyond 128 KiB", "", []string{"large", "text@" + file("large", large)}, large, 0, ""},
		{"beyond 128 KiB, from stdin", large, []string{"large", "text@-"}, large, 0, ""},
		{"stdin twice", "a", []string{"large", "text@-", "other@-"}, "", 125, "cannot read other: stdin was read for another param"},
		{"a NUL", "", []string{"echo", "text@" + file("nul", "ab\ncd\x00ef\x00")}, "", 125, "bad_param (0): cannot send text: byte 5 of it is a NUL"},
		{"not UTF-8", "", []string{"echo", "text@" + file("latin", "caf\xe9\n")}, "", 125, "bad_json (400)"},
		{"not UTF-8, as text", "", []string{"echo", "text=caf\xe9"}, "", 125, "bad_json (400)"},
		{"no file", "", []string{"echo", "text@" + dir + "/nothing"}, "", 125, "cannot read " + dir + "/nothing"},
		{"a pipe", "", []string{"echo", "text@" + pipe}, "through a pipe", 0, ""},
		{"text that looks like a file", "", []string{"dash", "text=@@/etc/passwd"}, "@/etc/passwd", 0, ""},
		{"a file, as deputy has it", "", []string{"dash", "text=@" + file("line", "one\n")}, "one", 0, ""},
		{"stdin, as deputy has it", "in\n", []string{"dash", "text=@-"}, "in", 0, ""},
		{"all params", "", []string{"dash", "--params", `{"text":"x y"}`}, "x y", 0, ""},
		{"all params, of a file", "", []string{"dash", "--params", "@" + file("json", `{"text":"x"}`)}, "x", 0, ""},
		{"all params, of stdin", `{"text":"z"}`, []string{"dash", "--params", "-"}, "z", 0, ""},
		{"all params and one more", "", []string{"dash", "--params", "{}", "text=x"}, "", 125, "nothing stands beside it"},
		{"types and a list", "", []string{"typed", "n=7", "yes=true", "list=a b", "list=@@c", "list=3", "x=1.50", "text=8"}, "7 true 1.5 8 a b,@c,3", 0, ""},
		{"a list of one, and types of a file", "", []string{"typed", "n=@" + file("seven", "7\n"), "yes=false", "list=true", "x=2", "text=true"}, "7 false 2 true true", 0, ""},
		{"no number", "", []string{"typed", "n=7x", "yes=true", "list=a", "x=1", "text="}, "", 125, "bad_param (422)"},
	} {
		cmd := exec.Command("sh", append([]string{"shell/deputy.sh", "run", "m"}, c.args...)...)
		cmd.Env = append(os.Environ(), "DEPUTY_SOCKET="+d.Socket)
		var out, err bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), &out, &err
		if c.name == "a pipe" {
			go os.WriteFile(pipe, []byte("through a pipe"), 0) // opens once it is read
		}
		_ = cmd.Run()
		if out.String() != c.out || cmd.ProcessState.ExitCode() != c.status || !strings.Contains(err.String(), c.err) {
			t.Errorf("%s: %.200q, exit status %d, stderr %q; want %.200q, %d, %q", c.name, out.String(), cmd.ProcessState.ExitCode(), err.String(), c.out, c.status, c.err)
		}
	}
	for _, c := range []struct {
		args   []string
		status int
	}{{[]string{"run", "m", "echo", "text=x"}, 255}, {[]string{"call", "m", "echo", "text=x"}, 1}} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		cmd := exec.Command("sh", append([]string{"shell/deputy.sh"}, c.args...)...)
		cmd.Env = append(os.Environ(), "DEPUTY_SOCKET="+d.Socket)
		cmd.Stdout = full
		if _ = cmd.Run(); cmd.ProcessState.ExitCode() != c.status {
			t.Errorf("%q with a full stdout: exit status %d, want %d", c.args, cmd.ProcessState.ExitCode(), c.status)
		}
	}
	for name, c := range map[string]struct{ text, said string }{
		"CRLF": {secret + "\r\n", ""}, "a second line": {secret + "\nthe one before\n", ""}, "BOM": {"\ufeff" + secret + "\n", "begins with a byte order mark"}, "empty": {"\n", "holds no secret"},
	} {
		cmd := exec.Command("sh", "shell/deputy.sh", "call", "m", "echo", "text=x")
		cmd.Env = append(os.Environ(), "DEPUTY_ADDRESS=http://"+d.http, "DEPUTY_KEY=panel", "DEPUTY_AUDIENCE="+audience, "DEPUTY_KEY_FILE="+file("key", c.text))
		if out, err := cmd.CombinedOutput(); (err == nil) != (c.said == "") || !strings.Contains(string(out), c.said) {
			t.Errorf("a key file with %s: %v: %s", name, err, out)
		}
	}
}

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// config gives an empty configuration of one's own deputy.
func config(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "config")
	if err := os.MkdirAll(filepath.Join(dir, "modules.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// own runs deputy as the user who runs the test: files are trusted by owner.
func own(t *testing.T, socket string, args ...string) result {
	t.Helper()
	return deputyRun(t, socket, setting{self: true}, args...)
}

// clientPaths are where the clients lie beside the program of the test.
var clientPaths = regexp.MustCompile(`/[^'" ]*clients`)

func TestNewDeclares(t *testing.T) {
	dir := config(t)
	d := newDaemon()
	d.answers["POST /v1/reload"] = answer{200, `{"digest":"0123456789abcdef"}`}
	d.health = `{"status":"ok","version":"1","config_dir":"` + dir + `"}`
	socket := listen(t, d)
	path := filepath.Join(dir, "modules.d", "panel.toml")

	r := own(t, socket, "new", "panel/restart", "--allow", "root", "--allow", "uid:7", "--", "/bin/echo", "restart", "{unit}", "--port={port}", "--param", "{{literal}}")
	if r.status != 0 || !strings.HasPrefix(r.out, "wrote "+path+"\nin force: 0123456789ab\n") {
		t.Fatal(r)
	}
	if len(d.saw("POST /v1/reload")) != 1 {
		t.Errorf("asked %v", d.asked)
	}
	out := strings.NewReplacer(path, "PATH", socket, "SOCKET").Replace(clientPaths.ReplaceAllString(r.out, "CLIENTS"))
	golden(t, "new-calls.txt", out)

	r = own(t, socket, "new", "panel/list", "--description", `say "what" is \ there`, "--param", "fast:boolean", "--", "/bin/echo", "fast={fast}", "--", "{names...}")
	if r.status != 0 {
		t.Fatal(r)
	}
	golden(t, "new-manifest.toml", withoutUser(read(t, path)))

	r = own(t, socket, "new", "panel/list", "--", "/bin/echo")
	if r.status != 1 || !strings.Contains(r.err, "panel/list is declared already, in "+path) {
		t.Error(r)
	}
}

// What bounds a param is said on the command line, or asked for at a terminal;
// what may be any text is warned of where root runs it.
func TestNewBounds(t *testing.T) {
	print := func(s setting, args ...string) result {
		s.self = true
		return deputyRun(t, "/nowhere", s, append([]string{"new", "m/a", "--print"}, args...)...)
	}
	for _, c := range []struct{ args, want []string }{
		{[]string{"--param", "unit=nginx.service|a b", "--", "/bin/echo", "{unit}"}, []string{`params.unit = { type = "string", enum = ["nginx.service", "a b"] }`}},
		{[]string{"--param", "unit=^a{1,3}$", "--", "/bin/echo", "{unit}"}, []string{`params.unit = { type = "string", pattern = "^a{1,3}$" }`}},
		{[]string{"--param", `unit=^\d+$`, "--", "/bin/echo", "{unit}"}, []string{`params.unit = { type = "string", pattern = "^\\d+$" }`}},
		{[]string{"--param", "n:integer=1|2", "--", "/bin/echo", "{n}"}, []string{`params.n = { type = "integer", enum = [1, 2] }`}},
		{[]string{"--param", "dirs=/srv|/home", "--", "/bin/echo", "{dirs...}"}, []string{`params.dirs = { type = "array", items = { type = "string", enum = ["/srv", "/home"] }, minItems = 1 }`}},
		{[]string{"--param", "unit:string", "--", "/bin/echo", "{unit}"}, []string{`params.unit = { type = "string" }`}},
	} {
		r := print(setting{}, c.args...)
		for _, want := range c.want {
			if r.status != 0 || !strings.Contains(r.out, want) || strings.Contains(r.out, "Narrow it") != (c.args[1] == "unit:string") {
				t.Errorf("%q: %s", c.args, r)
			}
		}
	}
	r := print(setting{terminal: true, in: "one|two\n\n"}, "--param", "said:string", "--", "/bin/echo", "{a}", "{b...}", "{said}")
	if !strings.Contains(r.out, `params.a = { type = "string", enum = ["one", "two"] }`) || !strings.Contains(r.out, `params.b = { type = "array", items = { type = "string" }`) ||
		strings.Count(r.err, "What may {") != 2 {
		t.Errorf("at a terminal: %s", r)
	}

	dir := config(t)
	r = own(t, "/nowhere", "new", "--config", dir, "m/nobody", "--param", "u=a|b", "--", "/bin/echo", "{u}")
	if r.status != 0 || !strings.Contains(r.out, "Nobody may ask for it yet. Name who may at the end of "+dir+"/modules.d/m.toml, then: deputy reload\n") || strings.Contains(r.out, "Ask for it") || r.err != "" {
		t.Errorf("for nobody: %s", r)
	}
	r = own(t, "/nowhere", "new", "--config", dir, "m/some", "--allow", "root", "--param", "u=a|b", "--", "/bin/echo", "{u}")
	if r.status != 0 || !strings.Contains(r.out, `deputy run m some u=a`) || !strings.Contains(r.out, `['u' => 'a']`) {
		t.Errorf("for somebody: %s", r)
	}
	r = own(t, "/nowhere", "new", "--config", dir, "m/any", "--", "/bin/echo", "{u}")
	if warned := strings.Contains(r.err, "{u} may be any text, for a command of root's; say what it may be: enum, pattern or format"); r.status != 0 || warned != (os.Getuid() == 0) {
		t.Errorf("any text: %s", r)
	}
	r = own(t, "/nowhere", "check", "--config", dir)
	if warned := strings.Contains(r.err, "m/any: {u} may be any text"); r.status != 0 || warned != (os.Getuid() == 0) {
		t.Errorf("check: %s", r)
	}
}

// withoutUser takes away what differs between root and others who run the test.
func withoutUser(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimPrefix(line, "# "), "user = ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// What would be wrong leaves the files as they were.
func TestNewTakesBackWhatIsWrong(t *testing.T) {
	dir := config(t)
	path := filepath.Join(dir, "modules.d", "panel.toml")
	before := "name = \"panel\"\n[action.a]\ncommand = [\"/bin/echo\"]\n"
	mustWrite(t, path, before)
	socket := listen(t, newDaemon())

	r := own(t, socket, "new", "--config", dir, "panel/b", "--", "/no/such/program")
	if r.status != 1 || !strings.Contains(r.err, "nothing was changed, for this would be wrong:\n") || !strings.Contains(r.err, "/no/such/program") {
		t.Error(r)
	}
	if text := read(t, path); text != before {
		t.Errorf("the manifest is now\n%s", text)
	}
	r = own(t, socket, "new", "--config", dir, "fresh/b", "--", "/no/such/program")
	if _, err := os.Stat(filepath.Join(dir, "modules.d", "fresh.toml")); r.status != 1 || !os.IsNotExist(err) {
		t.Errorf("%s%v", r, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "modules.d", ".*"))
	if len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestNewAndTheDaemon(t *testing.T) {
	tests := []struct {
		name   string
		answer answer
		status int
		say    string
		stays  bool
	}{
		{"its 422", answer{http.StatusUnprocessableEntity, `{"code":"bad_request","detail":"cannot load"}`}, 1, "bad request: cannot load", false},
		{"no operator", answer{http.StatusForbidden, `{"code":"not_allowed","detail":"you are no operator"}`}, 1, "not allowed: you are no operator", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := config(t)
			d := newDaemon()
			d.answers["POST /v1/reload"] = test.answer
			r := own(t, listen(t, d), "new", "--config", dir, "panel/b", "--", "/bin/echo")
			_, err := os.Stat(filepath.Join(dir, "modules.d", "panel.toml"))
			if r.status != test.status || !strings.Contains(r.err, test.say) || (err == nil) != test.stays {
				t.Errorf("%sstays: %v", r, err)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		dir := config(t)
		r := own(t, "/nowhere", "new", "--config", dir, "panel/b", "--", "/bin/echo")
		if r.status != 0 || !strings.Contains(r.out, "no daemon answers; it will be in force once one runs") {
			t.Error(r)
		}
	})
}

func mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	dir := config(t)
	good, bad := filepath.Join(dir, "modules.d", "good.toml"), filepath.Join(t.TempDir(), "bad.toml")
	mustWrite(t, good, "[action.a]\ncommand = [\"/bin/echo\"]\n")
	mustWrite(t, bad, "[action.a]\ncomand = [\"/bin/echo\"]\n")
	if r := own(t, "/nowhere", "check", "--config", dir); r.status != 0 || r.out != "nothing is wrong\n" {
		t.Error(r)
	}
	if r := own(t, "/nowhere", "check", "--config", dir, good); r.status != 0 {
		t.Error(r)
	}
	r := own(t, "/nowhere", "check", "--config", dir, bad)
	if r.status != 1 || !strings.HasPrefix(r.err, bad+":2:1: ") {
		t.Error(r)
	}
	r = own(t, "/nowhere", "check", "--json", "--config", dir, bad)
	if r.status != 1 || !strings.Contains(r.out, `"line": 2`) || !strings.Contains(r.out, `"remedy": `) {
		t.Error(r)
	}
	if r = own(t, "/nowhere", "check", "--json", "--config", dir); r.status != 0 || r.out != "{\n  \"problems\": [],\n  \"warnings\": []\n}\n" {
		t.Error(r)
	}
}

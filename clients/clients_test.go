//go:build linux

// Package clients tests the clients in this folder: one table of cases, played by
// all six against a real deputy, over each way in.
package clients

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"deputy/test/rig"
)

func TestMain(m *testing.M) {
	code := m.Run()
	rig.Clean()
	if dir, err := compiled(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// testCase is one entry of testdata/cases.json: steps that one client takes one
// after another. In its texts {n} is new for each play, and {a} to {z} are the
// ids that the first step to show one named so.
type testCase struct {
	Name   string
	Signed bool // only where requests are signed
	TLS    bool // over TLS, too: what goes through it is the same
	Steps  []step
}

type step struct {
	Do     []string // verb, and what it is about
	Params map[string]json.RawMessage
	Env    map[string]string // T_NAME of the driver
	Want   string            // what the driver says on descriptor 3
	Live   string            // the driver runs on once its stdout has begun so; Want is said at the case's end
	Not    string            // a client that cannot take it

	// What stands on its stdout and stderr, in one of these forms.
	Stdout, Stderr *string
	JSON           json.RawMessage
	Pattern        int64 // the last bytes of so many of rig.Pattern
	Hex            string
}

func TestCases(t *testing.T) {
	text, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.ReplaceAll(string(text), "{long}", strings.Repeat("0123456789abcdef", 400)))
	var cases []testCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	d := start(t)
	for _, way := range d.ways() {
		for _, driver := range drivers(t) {
			if (way.line && !driver.line) || (way.tls && driver.noTLS) {
				continue
			}
			t.Run(way.name+"/"+driver.name, func(t *testing.T) {
				t.Parallel()
				for i, c := range cases {
					if (c.Signed && way.env["KEY"] == "") || (way.line && c.runs()) || (way.tls && !c.TLS) {
						continue
					}
					p := &play{t: t, driver: driver, way: way, socket: d.Socket, names: map[string]string{"n": fmt.Sprintf("%s-%s-%d", way.name, driver.name, i)}}
					t.Run(c.Name, func(t *testing.T) { p.t = t; p.all(c.Steps) })
				}
			})
		}
	}
}

// runs says whether a case has a run: the 'Key: Value' door only takes calls. What
// became of one is then asked for on the Unix socket.
func (c testCase) runs() bool {
	return slices.ContainsFunc(c.Steps, func(s step) bool { return s.Do[0] == "run" })
}

// play is one client taking one case one way.
type play struct {
	t      *testing.T
	driver driver
	way    way
	socket string
	names  map[string]string
	live   []func() // the ends of steps that run on
}

func (p *play) all(steps []step) {
	for _, s := range steps {
		if s.Not != p.driver.name {
			p.step(s)
		}
	}
	for _, end := range p.live {
		end()
	}
}

func (p *play) step(s step) {
	p.t.Helper()
	run := p.driver.begin(p.t, p.args(s), p.env(s))
	if s.Live != "" {
		rig.Eventually(p.t, time.Minute, "output comes while the task lives", func() bool { return run.out.String() == s.Live })
		p.live = append(p.live, func() { p.check(s, run) })
		return
	}
	p.check(s, run)
}

// args are the driver's: params as one JSON object, or as name=text and name:=json.
func (p *play) args(s step) []string {
	args := make([]string, len(s.Do))
	for i, arg := range s.Do {
		args[i] = p.fill(arg)
	}
	if s.Do[0] != "run" && s.Do[0] != "call" {
		return args
	}
	if !p.driver.plain {
		object := []byte("{}")
		if s.Params != nil {
			object, _ = json.Marshal(s.Params)
		}
		return append(args, p.fill(string(object)))
	}
	for name, value := range s.Params {
		var text string
		if json.Unmarshal(value, &text) == nil {
			text = p.fill(text)
			if p.driver.name == "shell" && strings.HasPrefix(text, "@") {
				text = "@" + text
			}
			args = append(args, name+"="+text)
		} else {
			args = append(args, name+":="+string(value))
		}
	}
	return args
}

func (p *play) env(s step) []string {
	env, way := map[string]string{}, p.way.env
	if p.way.line && s.Do[0] != "call" {
		way = map[string]string{"ADDRESS": p.socket}
	}
	for _, from := range []map[string]string{way, s.Env} {
		for name, value := range from {
			env[name] = p.fill(value)
		}
	}
	if secret := env["SECRET"]; secret != "" {
		env["KEY_FILE"] = filepath.Join(p.t.TempDir(), "key")
		if err := os.WriteFile(env["KEY_FILE"], []byte(secret+"\n"), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	list := os.Environ()
	for name, value := range env {
		if value != "" {
			list = append(list, "T_"+name+"="+value)
		}
	}
	return list
}

var name = regexp.MustCompile(`\{([a-z])\}`)

func (p *play) fill(text string) string {
	return name.ReplaceAllStringFunc(text, func(s string) string {
		if value, known := p.names[s[1:2]]; known {
			return value
		}
		return s
	})
}

// check holds what a driver said against what was wanted.
func (p *play) check(s step, run *running) {
	p.t.Helper()
	said := run.end()
	want, got := strings.Split(p.wanted(s.Want), " "), strings.Split(said, " ")
	if want[0] == "error" && len(got) > 4 {
		got = got[:4] // what follows is the detail
		if p.way.line && got[0] == "error" && got[2] >= "1" && got[2] <= "7" {
			got[2], want[2] = "", "" // that door has numbers of its own
		}
		if want[3] == "-" || p.driver.name == "shell" || p.way.line {
			got[3], want[3] = "", ""
		}
	}
	for i := range min(len(got), len(want)) {
		if m := name.FindStringSubmatch(want[i]); m != nil && p.names[m[1]] == "" && len(got[i]) == 36 {
			p.names[m[1]] = got[i]
		}
		want[i] = p.fill(want[i])
	}
	if !slices.Equal(got, want) {
		p.t.Errorf("%v said %q, want %q; stdout %.300q, stderr %.300q", s.Do, said, s.Want, run.out.String(), run.err.String())
		return
	}
	p.checkOutput(s, run.out.String(), run.err.String())
}

// wanted is what this driver says for it: the shell's client ends as the task does.
func (p *play) wanted(want string) string {
	if p.driver.name != "shell" {
		return want
	}
	switch want {
	case "ok succeeded 0":
		return "exit 0"
	case "failed failed -":
		return "exit 137" // SIGKILL
	}
	if code, ok := strings.CutPrefix(want, "failed failed "); ok {
		return "exit " + code
	}
	return want
}

func (p *play) checkOutput(s step, out, err string) {
	p.t.Helper()
	if s.Stdout != nil && out != *s.Stdout {
		p.t.Errorf("stdout %q, want %q", out, *s.Stdout)
	}
	if s.Stderr != nil && err != *s.Stderr {
		p.t.Errorf("stderr %q, want %q", err, *s.Stderr)
	}
	if s.Hex != "" && hex.EncodeToString([]byte(out)) != s.Hex {
		p.t.Errorf("stdout %x, want %s", out, s.Hex)
	}
	if s.Pattern > 0 && (int64(len(out)) != s.Pattern || !rig.IsPattern([]byte(out), 0)) {
		p.t.Errorf("%d bytes on stdout are not the %d wanted", len(out), s.Pattern)
	}
	if s.JSON != nil {
		if got, want := exact(p.t, out), exact(p.t, string(s.JSON)); !reflect.DeepEqual(got, want) {
			p.t.Errorf("the task got %v, want %v", got, want)
		}
	}
}

// exact reads JSON with its numbers as they are written.
func exact(t *testing.T, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Errorf("%v in %.200q", err, text)
	}
	return v
}

// TestWycheproof holds every client's HMAC-SHA256 against known answers.
func TestWycheproof(t *testing.T) {
	text, err := os.ReadFile("testdata/wycheproof/hmac_sha256.txt")
	if err != nil {
		t.Fatal(err)
	}
	var input strings.Builder
	var vectors [][]string
	for line := range strings.Lines(string(text)) {
		v := strings.Fields(strings.ReplaceAll(line, " - ", "  "))
		if strings.Contains(line, " - ") {
			v = slices.Insert(v, 2, "")
		}
		vectors = append(vectors, v)
		fmt.Fprintln(&input, v[1], v[2])
	}
	if len(vectors) != 174 {
		t.Fatalf("%d vectors, want 174", len(vectors))
	}
	for _, driver := range drivers(t) {
		t.Run(driver.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(driver.command[0], append(driver.command[1:], "hmac")...)
			cmd.Stdin = strings.NewReader(input.String())
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			macs := strings.Fields(string(out))
			if err != nil || len(macs) != len(vectors) {
				t.Fatalf("%v, %d answers of %d", err, len(macs), len(vectors))
			}
			for i, v := range vectors {
				valid := len(macs[i]) == 64 && strings.HasPrefix(macs[i], v[3])
				if (v[4] == "valid") != valid {
					t.Errorf("vector %s, a key of %d bytes: %s is %s, want it %s", v[0], len(v[1])/2, v[3], strconv.FormatBool(valid), v[4])
				}
			}
		})
	}
}

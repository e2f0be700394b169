//go:build linux

package lineproto_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"deputy/internal/signature"
	"deputy/test/rig"
)

func TestMain(m *testing.M) {
	code := m.Run()
	rig.Clean()
	os.Exit(code)
}

const (
	secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	old    = "secret of the original"
)

// files declare what the dialogues ask for. ADDRESS is where 'Key: Value' is
// spoken over TCP, SOCKET where over a Unix socket.
var files = rig.Files{
	"deputy.toml": `[listen]
line = ["ADDRESS", "SOCKET"]
[server]
name = "gate1"
[key.original]
legacy = true
[key.portal]
names_end_user = true
`,
	"keys/panel": secret + "\n", "keys/portal": secret + "2\n", "keys/original": old + "\n", "keys/stranger": secret + "3\n",
	"modules.d/scan.toml": `name = "SCAN_MODULE"
params.task_ids = { type = "array", items = { type = "integer", minimum = 1 }, minItems = 1, maxItems = 1000 }
[allow]
users = ["uid:UID"]
keys = ["panel", "original", "portal"]
[action.start]
for_each = "task_id in task_ids"
lock = "{task_id}"
command = ["/bin/sleep", "{task_id}"]
[action.stop]
for_each = "task_id in task_ids"
lock = "{task_id}"
stops = "start"
[action.say]
command = ["/bin/echo", "{text}", "{number}", "{yes}", "--", "{list...}"]
params.text = { type = "string", default = "none" }
params.number = { type = "number", default = 0 }
params.yes = { type = "boolean", default = false }
params.list = { type = "array", items = { type = "string" }, default = [] }
[action.exclusive]
lock = "one"
on_busy = "reject"
command = ["/bin/sleep", "300"]
[action.for]
command = ["/bin/echo", "{whom}"]
params.whom = { type = "string" }
[[action.for.allow]]
keys = ["portal"]
where = { whom = ["{end_user}"] }
`,
}

// begin starts a deputy, and gives how to connect to each place.
func begin(t *testing.T) (*rig.Deputy, map[string]func() (net.Conn, error)) {
	t.Helper()
	return beginAt(t, files, freeAddress(t))
}

func beginAt(t *testing.T, files rig.Files, address string) (*rig.Deputy, map[string]func() (net.Conn, error)) {
	t.Helper()
	d := rig.New(t, nil)
	socket := filepath.Join(d.State, "line.sock")
	filled := rig.Files{}
	for name, text := range files {
		filled[name] = strings.NewReplacer("ADDRESS", address, "SOCKET", socket, "UID", fmt.Sprint(os.Geteuid())).Replace(text)
	}
	d.Write(filled)
	for name := range files {
		if strings.HasPrefix(name, "keys/") {
			if err := os.Chmod(filepath.Join(d.Config, name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	d.Start()
	dial := map[string]func() (net.Conn, error){
		"tcp":  func() (net.Conn, error) { return net.Dial("tcp", address) },
		"unix": func() (net.Conn, error) { return net.Dial("unix", socket) },
	}
	rig.Eventually(t, 10*time.Second, "it listens on "+address, func() bool {
		c, err := dial["tcp"]()
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return d, dial
}

// freeAddress is one where nobody listens at this moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

var marks = regexp.MustCompile(`\{(sign|stale|legacy) ?([^}]*)\}`)

// fill puts signatures in the place of their marks: {sign KEY} in the first
// line, over all that follows, {stale KEY} the same of two minutes ago, and
// {legacy KEY MODULE}.
func fill(message []byte) []byte {
	secrets := map[string]string{"panel": secret, "portal": secret + "2", "stranger": secret + "3", "original": old, "nobody": "x", "wrong": "y"}
	return marks.ReplaceAllFunc(message, func(mark []byte) []byte {
		m := marks.FindSubmatch(mark)
		kind, args := string(m[1]), strings.Fields(string(m[2]))
		if kind == "legacy" {
			return []byte(signature.Legacy([]byte(secrets[args[0]]), args[1]))
		}
		now := time.Now().Unix()
		if kind == "stale" {
			now -= 2 * signature.Window
		}
		_, body, _ := strings.Cut(string(message), "\n")
		name := args[0]
		if name == "wrong" {
			name = "panel"
		}
		return []byte(sign(name, secrets[args[0]], now, covered(body)))
	})
}

func sign(name, secret string, now int64, body string) string {
	return signature.Sign(name, []byte(secret), now, signature.Request{Method: "TCP", Audience: "gate1", Target: "/", Body: []byte(body)}).String()
}

// covered is a message's bytes up to and including its empty line.
func covered(body string) string {
	for _, end := range []string{"\n\n", "\n\r\n"} {
		if i := strings.Index(body, end); i >= 0 {
			return body[:i+len(end)]
		}
	}
	return body
}

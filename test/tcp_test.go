//go:build linux

package test

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"deputy/internal/signature"
	"deputy/test/rig"
)

// secrets are the keys of these tests.
var secrets = map[string]string{
	"panel": strings.Repeat("01", 32), "portal": strings.Repeat("23", 32), "auditor": strings.Repeat("45", 32),
	"operator": strings.Repeat("67", 32), "stranger": strings.Repeat("89", 32),
}

// network is a deputy that listens on TCP, for the keys in secrets.
const network = wide + `[listen]
http = ["ADDRESS"]
line = ["LINE"]
[server]
name = "gate1"
[key.portal]
names_end_user = true
[key.auditor]
auditor = true
[key.operator]
operator = true
`

// signedModule is what they may ask for.
const signedModule = `[allow]
keys = ["panel", "portal"]
[action.say]
command = ["/bin/echo", "{text}"]
params.text = { type = "string", default = "x" }
[action.wait]
command = ["/bin/sleep", "300"]
[action.large]
max_body = "1MiB"
command = ["/bin/cat"]
stdin = "{text}"
params.text = { type = "string", default = "x", maxLength = 1000000 }
[action.for]
command = ["/bin/echo", "{whom}"]
params.whom = { type = "string" }
[[action.for.allow]]
keys = ["portal"]
where = { whom = ["{end_user}"] }
`

// addresses are where the deputy of a test listens.
type addresses struct{ http, line string }

// beginNetwork starts a deputy that listens on TCP.
func beginNetwork(t *testing.T, module string, more rig.Files, args ...string) (*rig.Deputy, addresses) {
	t.Helper()
	a := addresses{freeAddress(t), freeAddress(t)}
	files := rig.Files{"deputy.toml": network}
	for name, text := range more {
		files[name] = text
	}
	for name, text := range files {
		files[name] = strings.NewReplacer("ADDRESS", a.http, "LINE", a.line).Replace(text)
	}
	d := prepare(t, module, files, args...)
	writeKeys(t, d, secrets)
	d.Start()
	for _, address := range []string{a.http, a.line} {
		rig.Eventually(t, 10*time.Second, "it listens on "+address, func() bool { return listens(address) })
	}
	return d, a
}

func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

func writeKeys(t *testing.T, d *rig.Deputy, keys map[string]string) {
	t.Helper()
	dir := filepath.Join(d.Config, "keys")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range keys {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
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

var (
	signMark    = regexp.MustCompile(`\{sign ([a-z]+)\}`)
	requestLine = regexp.MustCompile(`(?m)^([A-Z]+) (\S+) HTTP/1\.[01]`)
)

// signMarks puts the signature of the HTTP request around it in the place of
// each {sign KEY}.
func signMarks(message []byte) []byte {
	for {
		m := signMark.FindSubmatchIndex(message)
		if m == nil {
			return message
		}
		name := string(message[m[2]:m[3]])
		starts := requestLine.FindAllSubmatchIndex(message[:m[0]], -1)
		start := starts[len(starts)-1]
		head, rest, _ := bytes.Cut(message[start[0]:], []byte("\r\n\r\n"))
		fields := http.Header{}
		for line := range strings.SplitSeq(string(head), "\r\n") {
			if key, value, found := strings.Cut(line, ": "); found {
				fields.Add(key, value)
			}
		}
		length, _ := strconv.Atoi(fields.Get("Content-Length"))
		a := signature.Sign(name, []byte(secrets[name]), time.Now().Unix(), signature.Request{
			Method: string(message[start[2]:start[3]]), Audience: "gate1", Target: string(message[start[4]:start[5]]),
			IdempotencyKey: fields.Get("Idempotency-Key"), EndUser: fields.Get("Deputy-End-User"), Body: rest[:min(length, len(rest))],
		})
		message = bytes.Replace(message, message[m[0]:m[1]], []byte(a.String()), 1)
	}
}

// TestHTTPOverTCP holds the dialogues of testdata/tcp.txt.
func TestHTTPOverTCP(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	_, port, _ := net.SplitHostPort(a.http)
	for _, dialogue := range rig.Dialogues(t, "testdata/tcp.txt") {
		text := strings.NewReplacer("ADDRESS", a.http, "PORT", port).Replace(string(dialogue.Send))
		dialogue.Send = signMarks([]byte(text))
		conn, err := net.Dial("tcp", a.http)
		if err != nil {
			t.Fatal(err)
		}
		dialogue.Hold(t, conn)
	}
	if strings.Contains(d.Log(), "the server is gone") {
		t.Errorf("the server was ended:\n%s", d.Log())
	}
	d.Verify()
}

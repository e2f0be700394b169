//go:build linux

package test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// What others' CVEs were made with; SECURITY.md has the table of them.

const literalModule = `[allow]
users = ["uid:UID"]
[action.argument]
command = ["/usr/bin/printf", "%s", "{value}"]
params.value = { type = "string" }
[action.inside]
command = ["/usr/bin/printf", "%s", "--name='{value}' {other}"]
params.value = { type = "string" }
params.other = { type = "string", default = "$HOME" }
[action.env]
command = ["/usr/bin/printenv", "VALUE"]
env = { VALUE = "{value}" }
params.value = { type = "string" }
[action.stdin]
command = ["/bin/cat"]
stdin = "{value}"
params.value = { type = "string" }
[action.mail]
command = ["/usr/bin/printf", "%s", "{value}"]
params.value = { type = "string", format = "email" }
`

// A value is bytes, wherever it stands: no shell, no second template, no word
// splitting is ever between a request and a program's argument.
func TestInjectionsAreBytes(t *testing.T) {
	d := begin(t, literalModule, nil)
	c := d.Self()
	mark := filepath.Join(d.Work, "pwned")
	for cve, form := range map[string]string{
		"CVE-2013-1362":  `$(touch MARK)`,
		"CVE-2014-6271":  `() { :; }; touch MARK`,
		"CVE-2017-11610": `supervisor.supervisord.options.execve`,
		"CVE-2019-10149": `${run{/usr/bin/touch MARK}}@localhost`,
		"CVE-2019-12272": `eth0|touch MARK|x`,
		"CVE-2019-15107": `x|touch MARK`,
		"CVE-2020-7247":  `;touch MARK;`,
		"CVE-2020-8515":  `'touch MARK'%0a`,
		"CVE-2020-16846": "x ; `touch MARK` &",
		"CVE-2022-1509":  `s/.*/touch MARK/e`,
		"CVE-2022-30525": `; touch MARK;`,
		"CVE-2022-44877": `admin"$(touch MARK)"`,
		"CVE-2023-28771": `";touch MARK;echo -n`,
		"CVE-2023-47218": `a';touch MARK;'`,
		"CVE-2024-10914": `';touch MARK;'`,
		"CVE-2024-51378": `; touch MARK #`,
		"CVE-2026-44194": "a`touch${IFS}MARK`@example.org",
		"CVE-2026-45158": `host";touch MARK;"`,
		"a placeholder":  `{other} {{value}} {value...} %s %n $HOME * ~ \`,
	} {
		value := strings.ReplaceAll(form, "MARK", mark)
		params, err := json.Marshal(map[string]string{"value": value})
		if err != nil {
			t.Fatal(err)
		}
		for action, want := range map[string]string{
			"argument": value, "inside": "--name='" + value + "' $HOME", "env": value + "\n", "stdin": value,
		} {
			task := c.Ended(c.Started("m/"+action, string(params)).ID)
			if got := c.Stdout(task.ID); got != want || task.State != deputy.Succeeded {
				t.Errorf("%s: %s wrote %q, want %q; it has %s", cve, action, got, want, task.State)
			}
		}
		if _, err := os.Stat(mark); err == nil {
			t.Fatalf("%s: a command was run", cve)
		}
	}
}

// What would become an option, a second line, or no text at all is refused.
func TestInjectionsAreRefused(t *testing.T) {
	d := begin(t, literalModule, nil)
	c := d.Self()
	for _, one := range []struct{ cve, action, value string }{
		{"CVE-2014-2913", "argument", "x\ntouch /tmp/x"},
		{"CVE-2016-10033", "argument", `-X/var/www/x.php`},
		{"CVE-2017-1000117", "argument", `-oProxyCommand=touch`},
		{"CVE-2023-22809", "argument", "--"},
		{"CVE-2026-44193", "argument", "-r /tmp/x"},
		{"a carriage return", "stdin", "x\rtouch"},
		{"a NUL", "env", "x\x00touch"},
		{"a line separator", "argument", "x\u2028touch"},
		{"CVE-2020-7247", "mail", ";touch /tmp/x;@example.org"},
		{"CVE-2026-44194 in quotes", "mail", `"a b"@example.org`},
	} {
		params, err := json.Marshal(map[string]string{"value": one.value})
		if err != nil {
			t.Fatal(err)
		}
		status, code := 422, deputy.BadParam
		if strings.Contains(one.value, "\x00") {
			status, code = 400, deputy.BadJSON
		}
		a := c.Call("m/"+one.action, string(params))
		if a.Status != status {
			t.Errorf("%s: %q is answered %d %s", one.cve, one.value, a.Status, a.Body)
			continue
		}
		a.Refused(t, status, code)
	}
	if n := len(d.Events(deputy.Accepted)); n != 0 {
		t.Errorf("%d requests were accepted", n)
	}
}

// stranger runs a Python script as another user, who connects to deputy.
func stranger(t *testing.T, uid int, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", append([]string{"-c", script}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), Groups: []uint32{}}}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const rootsOnly = `[action.roots]
command = ["/bin/true"]
[[action.roots.allow]]
users = ["root"]
[action.anyones]
command = ["/bin/true"]
[[action.anyones.allow]]
users = ["uid:33"]
`

// CVE-2019-7304: who asks was read out of a text in which the peer's own
// address stood; the address of a socket is its owner's to choose.
func TestTheAddressOfASocketProvesNothing(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, rootsOnly, nil)
	dir := filepath.Join(d.Work, "open")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	const script = `import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[2])
s.connect(sys.argv[1])
s.sendall(b"POST /v1/actions/m/" + sys.argv[3].encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
answer = b""
while chunk := s.recv(65536): answer += chunk
print(answer.decode())`
	for i, name := range []string{"x;uid=0;", "pid=1;uid=0;socket=deputy.sock;", "uid:0"} {
		answer := stranger(t, 33, script, d.Socket, filepath.Join(dir, fmt.Sprint(i, name)), "roots")
		if !strings.HasPrefix(answer, "HTTP/1.1 403 ") || !strings.Contains(answer, "uid 33") {
			t.Errorf("%q is answered %s", name, answer)
		}
		answer = stranger(t, 33, script, d.Socket, filepath.Join(dir, fmt.Sprint(i, name, "2")), "anyones")
		if !strings.HasPrefix(answer, "HTTP/1.1 202 ") || !strings.Contains(answer, `"caller":"uid:33"`) {
			t.Errorf("%q is answered %s", name, answer)
		}
	}
}

// CVE-2021-3560: who hung up before being looked up was taken for root. Here a
// connection's identity is read when it is accepted, and never another's.
func TestWhoHangsUpIsNobodyElse(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, rootsOnly, nil)
	const hangups = 300
	for i := range hangups {
		conn, err := rig.DialAs(d.Socket, 33)
		if err != nil {
			t.Fatal(err)
		}
		action := []string{"roots", "anyones"}[i%2]
		if _, err := io.WriteString(conn, "POST /v1/actions/m/"+action+" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			time.Sleep(time.Duration(i%7) * 100 * time.Microsecond) // what is tested is the moment
		}
		conn.Close()
	}
	d.As(33).Call("m/roots", "").Refused(t, 403, deputy.NotAllowed) // behind all of them
	accepted := d.Events(deputy.Accepted)
	t.Logf("%d of %d that were allowed were taken", len(accepted), hangups/2)
	for _, e := range accepted {
		if e.Caller != "uid:33" || e.Action != "anyones" {
			t.Errorf("accepted for %s: %s/%s", e.Caller, e.Module, e.Action)
		}
	}
	for _, e := range d.Events(deputy.Denied) {
		if e.Caller != "uid:33" {
			t.Errorf("denied to %s", e.Caller)
		}
	}
}

// CVE-2020-8287 and its kin: two readers of one message disagree where it ends,
// and what one takes for its body is a request to the other.
func TestNoRequestHidesInAnother(t *testing.T) {
	d := begin(t, literalModule, nil)
	const params = `{"value":"hidden"}`
	hidden := fmt.Sprintf("POST /v1/actions/m/argument HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(params), params)
	all := fmt.Sprint(len("0\r\n\r\n" + hidden))
	for name, framing := range map[string]string{
		"a length and chunks":           "Content-Length: " + all + "\r\nTransfer-Encoding: chunked",
		"chunks and a length":           "Transfer-Encoding: chunked\r\nContent-Length: " + all,
		"chunks twice":                  "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nContent-Length: " + all,
		"chunks, then not":              "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
		"an encoding that nobody knows": "Transfer-Encoding: xchunked\r\nContent-Length: 5",
		"a space before the colon":      "Transfer-Encoding : chunked\r\nContent-Length: 5",
		"two lengths":                   "Content-Length: 5\r\nContent-Length: " + all,
		"a length with a sign":          "Content-Length: +5",
		"a list of lengths":             "Content-Length: 5, " + all,
		"chunks alone, and more behind": "Transfer-Encoding: chunked",
	} {
		conn, err := rig.DialAs(d.Socket, os.Geteuid())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "POST /v1/actions/m/nothing HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n0\r\n\r\n%s", framing, hidden)
		answer, err := io.ReadAll(conn)
		conn.Close()
		if n := strings.Count(string(answer), "HTTP/1."); n != 1 || strings.Contains(string(answer), " 202 ") || err != nil {
			t.Errorf("%s: %d answers, %v:\n%s", name, n, err, answer)
		}
	}
	if n := len(d.Events(deputy.Accepted)); n != 0 {
		t.Errorf("%d hidden requests were accepted", n)
	}
}

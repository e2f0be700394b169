//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/signature"
	"deputy/test/rig"
)

// signer asks over TCP as a key.
type signer struct {
	t           testing.TB
	url         string
	key, secret string
	client      *http.Client
}

func as(t testing.TB, a addresses, key string) *signer {
	return asSecret(t, a, key, secrets[key])
}

func asSecret(t testing.TB, a addresses, key, secret string) *signer {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &signer{t, "http://" + a.http, key, secret, &http.Client{Transport: transport, Timeout: time.Minute}}
}

// request makes a signed request; header is name, value, …
func (s *signer) request(method, target, body string, header ...string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.Header.Set("Authorization", signature.Sign(s.key, []byte(s.secret), time.Now().Unix(), signature.Request{
		Method: method, Audience: "gate1", Target: target, Body: []byte(body),
		IdempotencyKey: r.Header.Get("Idempotency-Key"), EndUser: r.Header.Get("Deputy-End-User"),
	}).String())
	return r
}

func (s *signer) do(method, target, body string, header ...string) rig.Answer {
	s.t.Helper()
	return s.send(s.request(method, target, body, header...))
}

func (s *signer) send(r *http.Request) rig.Answer {
	s.t.Helper()
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return rig.Answer{Status: resp.StatusCode, Header: resp.Header, Body: text}
}

func (s *signer) started(action, params string, header ...string) deputy.Task {
	s.t.Helper()
	tasks := s.do("POST", "/v1/actions/"+action, params, header...).Tasks(s.t)
	if len(tasks) != 1 {
		s.t.Fatalf("%s gave %d tasks", action, len(tasks))
	}
	return tasks[0]
}

// line signs a 'Key: Value' message; body ends with its empty line.
func line(key, secret, body string) string {
	a := signature.Sign(key, []byte(secret), time.Now().Unix(), signature.Request{Method: "TCP", Audience: "gate1", Target: "/", Body: []byte(body)})
	return "Authorization: " + a.String() + "\n" + body
}

// exchange sends bytes and reads the answer up to its end.
func exchange(t testing.TB, address, message string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		_, _ = io.WriteString(conn, message)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	text, _ := io.ReadAll(conn) // a reset behind the answer takes nothing from it here
	return string(text)
}

// TestSignedRequests: what a key may is what the Unix socket's callers may, and
// it is the key that is named for it.
func TestSignedRequests(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	panel, stranger := as(t, a, "panel"), as(t, a, "stranger")
	task := panel.started("m/say?wait=30&output=100", `{"text":"hello"}`, "Idempotency-Key", "k1")
	if task.State != deputy.Succeeded || task.Caller != "key:panel" {
		t.Errorf("the task is %+v", task)
	}
	again := panel.do("POST", "/v1/actions/m/say", `{"text":"hello"}`, "Idempotency-Key", "k1")
	if again.Header.Get("Idempotency-Replayed") != "true" || again.Tasks(t)[0].ID != task.ID {
		t.Errorf("the same Idempotency-Key gives %v %s", again.Header, again.Body)
	}
	if out := panel.do("GET", "/v1/tasks/"+task.ID+"/stdout", ""); string(out.Body) != "hello\n" {
		t.Errorf("stdout is %q", out.Body)
	}
	if out := panel.do("GET", "/v1/tasks/"+task.ID+"/stdout?offset=2&wait=1", ""); string(out.Body) != "llo\n" {
		t.Errorf("stdout from 2 is %q", out.Body)
	}
	var page struct{ Tasks []deputy.Task }
	panel.do("GET", "/v1/tasks?state=succeeded", "").Read(t, 200, &page)
	if len(page.Tasks) != 1 {
		t.Errorf("%d tasks are listed", len(page.Tasks))
	}
	var actions struct{ Actions []deputy.ActionInfo }
	panel.do("GET", "/v1/actions", "").Read(t, 200, &actions)
	if len(actions.Actions) != 3 {
		t.Errorf("%d actions are listed", len(actions.Actions))
	}
	var x deputy.Explanation
	panel.do("POST", "/v1/explain/m/say", `{"text":"x"}`).Read(t, 200, &x)
	if !x.Allowed || len(x.Tasks) != 1 {
		t.Errorf("explained: %+v", x)
	}
	long := panel.started("m/wait", "")
	if stopped := panel.do("POST", "/v1/tasks/"+long.ID+"/stop", `{"grace":"0s"}`); stopped.Status != 200 || !strings.Contains(string(stopped.Body), `"empty":true`) {
		t.Errorf("stop: %d %s", stopped.Status, stopped.Body)
	}
	if head := panel.do("HEAD", "/v1/tasks/"+task.ID, ""); head.Status != 200 {
		t.Errorf("HEAD: %d", head.Status)
	}

	stranger.do("POST", "/v1/actions/m/say", "").Refused(t, 403, deputy.NotAllowed)
	stranger.do("GET", "/v1/tasks/"+task.ID, "").Refused(t, 404, deputy.UnknownTask)
	stranger.do("POST", "/v1/tasks/"+long.ID+"/stop", "").Refused(t, 404, deputy.UnknownTask)
	stranger.do("POST", "/v1/reload", "").Refused(t, 403, deputy.NotAllowed)
	panel.do("POST", "/v1/actions/m/none", "").Refused(t, 404, deputy.UnknownAction)
	panel.do("POST", "/v1/actions/m/say", `{"text":5}`).Refused(t, 422, deputy.BadParam)
	panel.do("POST", "/v1/actions/m/say", `{"text":"a","text":"b"}`).Refused(t, 400, deputy.BadJSON)
	asSecret(t, a, "panel", "another secret").do("GET", "/v1/tasks", "").Refused(t, 401, deputy.NotAuthenticated)
	for _, e := range d.Events(deputy.Accepted) {
		if e.Caller != "key:panel" || e.Nonce == nil || len(e.Nonce.Nonce) != 32 {
			t.Errorf("accepted: %+v", e)
		}
		if strings.Contains(e.Nonce.Secret, secrets["panel"]) {
			t.Error("the secret stands in the journal")
		}
	}
	d.Verify()
}

// TestLargeBodies: a body of up to the largest max_body is read, whole and
// chunked.
func TestLargeBodies(t *testing.T) {
	_, a := beginNetwork(t, signedModule, nil)
	panel := as(t, a, "panel")
	body := `{"text":"` + strings.Repeat("x", 900_000) + `"}`
	if task := panel.started("m/large?wait=30", body); task.State != deputy.Succeeded || task.StdoutBytes != 900_000 {
		t.Errorf("the task is %+v", task)
	}
	r := panel.request("POST", "/v1/actions/m/large?wait=30", body)
	r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(body))
	if answer := panel.send(r); answer.Status != 200 {
		t.Errorf("chunked: %d %.300s", answer.Status, answer.Body)
	}
	r = panel.request("POST", "/v1/actions/m/large", body)
	r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(body+strings.Repeat(" ", 1<<20)))
	if answer := panel.send(r); answer.Status != 413 {
		t.Errorf("too large, chunked: %d %.300s", answer.Status, answer.Body)
	}
}

// TestMutatedOverTheWire sends two thousand changed messages through the real
// doors. Nothing comes of them, and the next good one works.
func TestMutatedOverTheWire(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	random := rand.New(rand.NewPCG(3, 2))
	panel := as(t, a, "panel")
	httpMessage := func() string {
		r := panel.request("POST", "/v1/actions/m/say", `{"text":"a"}`)
		return "POST /v1/actions/m/say HTTP/1.1\r\nHost: " + a.http + "\r\nConnection: close\r\nContent-Length: 12\r\nAuthorization: " + r.Header.Get("Authorization") + "\r\n\r\n" + `{"text":"a"}`
	}
	refused := map[string]int{}
	for i := range 2000 {
		where, message := a.line, line("panel", secrets["panel"], "module: m\naction: say\ntext: a\n\n")
		covered := len(message)
		if i%2 == 0 {
			where, message = a.http, httpMessage()
			covered = 0 // a change of Connection or Host is no change of what is signed
		}
		// Where a change counts: for HTTP the method, the target, the signature and the body.
		at := random.IntN(len(message) - 2)
		if covered == 0 {
			spans := [][2]int{{0, 5}, {5, 27}, {strings.Index(message, "id="), strings.Index(message, "\r\n\r\n")}, {len(message) - 12, len(message)}}
			s := spans[random.IntN(len(spans))]
			at = s[0] + random.IntN(s[1]-s[0])
		}
		changed := []byte(message)
		for string(changed) == message {
			changed[at] ^= byte(1 << random.IntN(8))
			if covered > 0 && strings.EqualFold(string(changed[:13]), message[:13]) && at < 13 {
				changed = []byte(message) // a key in another case is the same key
				at = random.IntN(len(message) - 2)
			}
		}
		answer := exchange(t, where, string(changed))
		if strings.Contains(answer, `"success": true`) || strings.HasPrefix(answer, "HTTP/1.1 2") {
			t.Errorf("accepted:\n%q\nanswered %q", changed, answer)
		}
		first, _, _ := strings.Cut(answer, "\r\n")
		refused[first[:min(len(first), 45)]]++
	}
	if n := len(d.Events(deputy.Accepted)); n != 0 {
		t.Errorf("%d requests were accepted", n)
	}
	for _, good := range []string{exchange(t, a.http, httpMessage()), exchange(t, a.line, line("panel", secrets["panel"], "module: m\naction: say\n\n"))} {
		if !strings.Contains(good, "202 Accepted") && !strings.Contains(good, "say ok") {
			t.Errorf("a good message is answered %q", good)
		}
	}
	if strings.Contains(d.Log(), "the server is gone") {
		t.Errorf("the server was ended:\n%s", d.Log())
	}
	t.Logf("%d kinds of answers: %v", len(refused), refused)
}

// TestReplaysOverTheWire sends what was sent before a second time: at once,
// when the monitor was killed, and when deputy was stopped and started.
func TestReplaysOverTheWire(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	panel, stranger := as(t, a, "panel"), as(t, a, "stranger")
	var lines []string
	var requests []*http.Request
	spend := func() {
		t.Helper()
		for i := range 40 {
			message := line("panel", secrets["panel"], fmt.Sprintf("module: m\naction: say\ntext: %d\n\n", i))
			if answer := exchange(t, a.line, message); !strings.Contains(answer, "say ok") {
				t.Fatalf("a fresh message: %s", answer)
			}
			lines = append(lines, message)
			for _, r := range []*http.Request{
				panel.request("GET", "/v1/tasks", ""), panel.request("POST", "/v1/explain/m/say", "{}"),
				panel.request("POST", "/v1/actions/m/say", "{}", "Idempotency-Key", fmt.Sprint("k", i%3)),
				stranger.request("POST", "/v1/actions/m/say", "{}"), panel.request("POST", "/v1/tasks/x/stop", ""),
			} {
				if answer := panel.send(r); answer.Status == 401 {
					t.Fatalf("a fresh request: %s %s: %s", r.Method, r.URL, answer.Body)
				}
				requests = append(requests, r)
			}
		}
	}
	replay := func(when string) {
		t.Helper()
		before := len(d.Events(deputy.Accepted))
		for _, message := range lines {
			if answer := exchange(t, a.line, message); !strings.Contains(answer, `"err_code": 3`) {
				t.Errorf("%s: replayed %q: %s", when, message, answer)
			}
		}
		for _, r := range requests {
			r.Body, _ = r.GetBody()
			if answer := panel.send(r); answer.Status != 401 {
				t.Errorf("%s: replayed %s %s: %d %s", when, r.Method, r.URL, answer.Status, answer.Body)
			}
		}
		if after := len(d.Events(deputy.Accepted)); after != before {
			t.Errorf("%s: %d requests were accepted", when, after-before)
		}
	}
	back := func() {
		t.Helper()
		rig.Eventually(t, 20*time.Second, "it listens again", func() bool { return listens(a.http) && listens(a.line) })
		// What the killed monitor leased has to pass.
		rig.Eventually(t, 20*time.Second, "fresh requests work", func() bool { return panel.do("GET", "/v1/tasks", "").Status == 200 })
		rig.Eventually(t, 20*time.Second, "fresh requests work", func() bool { return stranger.do("POST", "/v1/actions/m/say", "").Status == 403 })
	}
	spend()
	replay("at once")
	monitor := d.Part("--role monitor")
	if err := unix.Kill(monitor, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, 20*time.Second, "another monitor lives", func() bool { p := d.Part("--role monitor"); return p != 0 && p != monitor })
	back()
	replay("after the monitor was killed")
	spend()
	d.Stop()
	d.Start()
	rig.Eventually(t, 20*time.Second, "it listens again", func() bool { return listens(a.http) && listens(a.line) })
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1001 * time.Millisecond))) // the second in which the last request was signed is over
	if answer := panel.do("GET", "/v1/tasks", ""); answer.Status != 200 {
		t.Errorf("after a stop in good order a fresh request has to wait: %d %s", answer.Status, answer.Body)
	}
	back()
	replay("after a restart")
	d.Verify()
}

// TestTwoSecrets: a key can be rotated while it is used.
func TestTwoSecrets(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	old := as(t, a, "panel")
	out, err := d.Command("key", "new", "panel", "--config", d.Config).Output()
	if err != nil {
		t.Fatal(err)
	}
	fresh := asSecret(t, a, "panel", strings.TrimSpace(string(out)))
	for _, s := range []*signer{old, fresh} {
		if answer := s.do("POST", "/v1/actions/m/say", ""); answer.Status != 202 {
			t.Errorf("with two secrets: %d %s", answer.Status, answer.Body)
		}
	}
	path := filepath.Join(d.Config, "keys", "panel")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(path, []byte(rest), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Self().Do("POST", "/v1/reload", "")
	old.do("POST", "/v1/actions/m/say", "").Refused(t, 401, deputy.NotAuthenticated)
	if answer := fresh.do("POST", "/v1/actions/m/say", ""); answer.Status != 202 {
		t.Errorf("after the rotation: %d %s", answer.Status, answer.Body)
	}
}

// TestEndUsersOfKeys: a key that may say for whom it asks gets what the rules
// give for that end user, and no other key gets it by saying so.
func TestEndUsersOfKeys(t *testing.T) {
	d, a := beginNetwork(t, signedModule, rig.Files{"allow.d/alice.toml": `[[allow]]
actions = ["m/wait"]
keys = ["portal", "panel", "stranger"]
users = ["uid:UID"]
end_users = ["alice"]
read = true
stop = true
`})
	portal, panel, stranger := as(t, a, "portal"), as(t, a, "panel"), as(t, a, "stranger")
	const user = "Deputy-End-User"
	task := portal.started("m/for", `{"whom":"alice"}`, user, "alice")
	if task.EndUser == nil || *task.EndUser != "alice" || task.Caller != "key:portal" {
		t.Errorf("the task is for %v of %s", task.EndUser, task.Caller)
	}
	portal.do("POST", "/v1/actions/m/for", `{"whom":"alice"}`, user, "bob").Refused(t, 403, deputy.NotAllowed)
	portal.do("POST", "/v1/actions/m/for", `{"whom":"alice"}`).Refused(t, 403, deputy.NotAllowed)
	panel.do("POST", "/v1/actions/m/say", "", user, "alice").Refused(t, 403, deputy.NotAllowed)

	// Reading and stopping for an end user is for those who may name one, too.
	other := panel.started("m/wait", "")
	path := "/v1/tasks/" + other.ID
	if answer := portal.do("GET", path, "", user, "alice"); answer.Status != 200 {
		t.Errorf("for alice: %d %s", answer.Status, answer.Body)
	}
	portal.do("GET", path, "", user, "bob").Refused(t, 404, deputy.UnknownTask)
	portal.do("GET", path, "").Refused(t, 404, deputy.UnknownTask)
	stranger.do("GET", path, "", user, "alice").Refused(t, 403, deputy.NotAllowed)
	stranger.do("GET", "/v1/tasks", "", user, "alice").Refused(t, 403, deputy.NotAllowed)
	stranger.do("POST", path+"/stop", "", user, "alice").Refused(t, 403, deputy.NotAllowed)
	if os.Geteuid() == 0 {
		d.As(65533).Do("GET", path, "", user, "alice").Refused(t, 403, deputy.NotAllowed)
		d.As(65533).Do("POST", path+"/stop", "", user, "alice").Refused(t, 403, deputy.NotAllowed)
	}
	if answer := portal.do("POST", path+"/stop", `{"grace":"0s"}`, user, "alice"); answer.Status != 200 {
		t.Errorf("stop for alice: %d %s", answer.Status, answer.Body)
	}
	found := slices.ContainsFunc(d.Events(deputy.Accepted), func(e deputy.Event) bool { return e.EndUser == "alice" && e.Caller == "key:portal" })
	if !found {
		t.Error("the journal does not name the end user beside the caller")
	}
	var page struct{ Tasks []deputy.Task }
	as(t, a, "auditor").do("GET", "/v1/tasks?end_user=alice", "").Read(t, 200, &page)
	if len(page.Tasks) != 1 || page.Tasks[0].ID != task.ID {
		t.Errorf("the history has %d tasks for alice", len(page.Tasks))
	}
}

// TestAuditorsAndOperators: what deputy.toml gives a key beyond its rules.
func TestAuditorsAndOperators(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	panel, auditor, operator, stranger := as(t, a, "panel"), as(t, a, "auditor"), as(t, a, "operator"), as(t, a, "stranger")
	task := panel.started("m/wait", "")
	path := "/v1/tasks/" + task.ID
	if answer := auditor.do("GET", path, ""); answer.Status != 200 {
		t.Errorf("an auditor: %d %s", answer.Status, answer.Body)
	}
	auditor.do("POST", path+"/stop", "").Refused(t, 403, deputy.NotAllowed)
	auditor.do("POST", "/v1/reload", "").Refused(t, 403, deputy.NotAllowed)
	auditor.do("POST", "/v1/actions/m/say", "").Refused(t, 403, deputy.NotAllowed)
	var x deputy.Explanation
	auditor.do("POST", "/v1/explain/m/say?as=key%3Apanel", "").Read(t, 200, &x)
	if !x.Allowed || x.Rule == "" {
		t.Errorf("explained for the panel: %+v", x)
	}
	auditor.do("POST", "/v1/explain/m/say?as=key:stranger", "").Read(t, 200, &x)
	if len(x.Denied) == 0 {
		t.Errorf("a denial tells an auditor no rule: %+v", x)
	}
	panel.do("POST", "/v1/explain/m/say?as=key:portal", "").Refused(t, 403, deputy.NotAllowed)
	stranger.do("POST", "/v1/explain/m/say", "").Read(t, 200, &x)
	if refusal := stranger.do("POST", "/v1/actions/m/say", ""); strings.Contains(string(refusal.Body), ".toml") {
		t.Errorf("a denial tells a rule: %s", refusal.Body)
	}
	stranger.do("POST", path+"/stop", "").Refused(t, 404, deputy.UnknownTask)

	if answer := operator.do("POST", "/v1/reload", ""); answer.Status != 200 {
		t.Errorf("an operator reloads: %d %s", answer.Status, answer.Body)
	}
	auditor.do("POST", "/v1/drain", "").Refused(t, 403, deputy.NotAllowed)
	var drain deputy.Drain
	if operator.do("POST", "/v1/drain", "").Read(t, 200, &drain); !drain.Draining || drain.Live != 1 {
		t.Errorf("an operator drains: %+v", drain)
	}
	if operator.do("POST", "/v1/drain", `{"on":false}`).Read(t, 200, &drain); drain.Draining {
		t.Errorf("an operator ends the drain: %+v", drain)
	}
	operator.do("POST", "/v1/drain", `{"on":1}`).Refused(t, 400, deputy.BadRequest)
	if answer := operator.do("POST", path+"/stop", `{"grace":"0s"}`); answer.Status != 200 {
		t.Errorf("an operator stops: %d %s", answer.Status, answer.Body)
	}
	d.Verify()
}

// TestKeyFiles: a key that others could know is not used, and why not is said.
func TestKeyFiles(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	panel := as(t, a, "panel")
	path := filepath.Join(d.Config, "keys", "panel")
	keep := filepath.Join(d.Work, "panel")
	spoil := map[string]func() error{
		"can be read by others (mode 0640)": func() error { return os.Chmod(path, 0o640) },
		"can be read by others (mode 0604)": func() error { return os.Chmod(path, 0o604) },
		"can be read by others (mode 0620)": func() error { return os.Chmod(path, 0o620) },
		"too many levels of symbolic links": func() error { return os.Symlink(keep, path) },
		"is not a regular file":             func() error { return unix.Mkfifo(path, 0o600) },
		"is empty":                          func() error { return os.WriteFile(path, nil, 0o600) },
	}
	if os.Geteuid() == 0 {
		spoil["belongs to uid 1"] = func() error { return os.Chown(path, 1, -1) }
	}
	if err := os.WriteFile(keep, []byte(secrets["panel"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reload := func() {
		t.Helper()
		if answer := d.Self().Do("POST", "/v1/reload", ""); answer.Status != 200 {
			t.Fatalf("reload: %d %s", answer.Status, answer.Body)
		}
	}
	for reason, do := range spoil {
		if reason == "is not a regular file" || strings.HasPrefix(reason, "too many") {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		reload()
		rig.Eventually(t, 10*time.Second, "it is said that the key "+reason, func() bool { return strings.Contains(d.Log(), reason) })
		if answer := panel.do("GET", "/v1/tasks", ""); answer.Status != 401 {
			t.Errorf("a key that %s is used: %d", reason, answer.Status)
		}
		os.Remove(path)
		writeKeys(t, d, map[string]string{"panel": secrets["panel"]})
		reload()
		if answer := panel.do("GET", "/v1/tasks", ""); answer.Status != 200 {
			t.Errorf("after it was mended: %d %s", answer.Status, answer.Body)
		}
	}
}

// TestDoorsNeedKeys: TCP is open only where somebody could ask.
func TestDoorsNeedKeys(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	if err := os.Rename(filepath.Join(d.Config, "keys"), filepath.Join(d.Config, "away")); err != nil {
		t.Fatal(err)
	}
	d.Self().Do("POST", "/v1/reload", "")
	rig.Eventually(t, 10*time.Second, "the doors are closed", func() bool { return !listens(a.http) && !listens(a.line) })
	if answer := d.Self().Do("GET", "/v1/tasks", ""); answer.Status != 200 {
		t.Errorf("the Unix socket: %d", answer.Status)
	}
	if err := os.Rename(filepath.Join(d.Config, "away"), filepath.Join(d.Config, "keys")); err != nil {
		t.Fatal(err)
	}
	d.Self().Do("POST", "/v1/reload", "")
	rig.Eventually(t, 10*time.Second, "the doors are open", func() bool { return listens(a.http) && listens(a.line) })
}

// TestStreamsEndWithThePolicy: a stream of events was asked for under one
// policy. When another is in force, only a new signature can say who listens.
func TestStreamsEndWithThePolicy(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	panel := as(t, a, "panel")
	resp, err := panel.client.Do(panel.request("GET", "/v1/events", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	until := func(word string) error {
		for {
			text, err := in.ReadString('\n')
			if err != nil || strings.Contains(text, word) {
				return err
			}
		}
	}
	task := panel.started("m/say", "")
	if err := until(task.ID); err != nil {
		t.Fatalf("its own task is not shown: %v", err)
	}
	d.Write(rig.Files{"allow.d/more.toml": "[[allow]]\nactions = [\"m/wait\"]\nkeys = [\"stranger\"]\n"})
	d.Self().Do("POST", "/v1/reload", "")
	panel.started("m/say", "") // the next event
	if err := until("never"); err == nil {
		t.Error("the stream goes on")
	}
	if strings.Contains(d.Log(), "cannot answer") {
		t.Errorf("it is logged as a fault:\n%s", d.Log())
	}
}

// TestManyRequestsOfOneKey: a key has so many requests answered at a time.
func TestManyRequestsOfOneKey(t *testing.T) {
	_, a := beginNetwork(t, signedModule, rig.Files{"deputy.toml": strings.Replace(network, "connections = 1000", "connections = 3", 1)})
	panel, portal := as(t, a, "panel"), as(t, a, "portal")
	task := panel.started("m/wait", "")
	var held []*http.Response
	for range 3 {
		resp, err := panel.client.Do(panel.request("GET", "/v1/tasks/"+task.ID+"/stdout?follow=1", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		held = append(held, resp)
	}
	limited(t, panel.do("GET", "/v1/tasks", ""), "key:panel", "per_caller.connections")
	if answer := portal.do("GET", "/v1/tasks", ""); answer.Status != 200 {
		t.Errorf("another key: %d %s", answer.Status, answer.Body)
	}
	held[0].Body.Close()
	// A peer that has gone looks like one that only sends no more, for a while.
	rig.Eventually(t, 30*time.Second, "one more is answered", func() bool { return panel.do("GET", "/v1/tasks", "").Status == 200 })
}

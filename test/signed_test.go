//go:build linux

package test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

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
	wrong := asSecret(t, a, "panel", "another secret").do("GET", "/v1/tasks", "")
	wrong.Refused(t, 401, deputy.NotAuthenticated)
	if how := wrong.Header.Get("WWW-Authenticate"); how != "Deputy1" {
		t.Errorf("a 401 says WWW-Authenticate: %q", how)
	}
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
			// One from before the monitor's start is told to be signed anew.
			if answer := panel.send(r); answer.Status != 401 && answer.Status != 503 {
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

// A grace shorter than a millisecond is one: the signal goes before the kill.
func TestASignedStopWithAShortGraceSendsTheSignal(t *testing.T) {
	_, a := beginNetwork(t, signedModule, nil)
	panel := as(t, a, "panel")
	task := panel.started("m/wait", "")
	rig.Eventually(t, 20*time.Second, "it runs", func() bool { // what is stopped before it is born is sent nothing
		var now deputy.Task
		panel.do("GET", "/v1/tasks/"+task.ID, "").Read(t, 200, &now)
		return now.State == deputy.Running
	})
	var stopped deputy.Task
	panel.do("POST", "/v1/tasks/"+task.ID+"/stop", `{"grace":"500us"}`).Read(t, 200, &stopped)
	if stopped.Stop == nil || !stopped.Stop.Signalled || !stopped.Stop.Empty {
		t.Errorf("the receipt is %+v", stopped.Stop)
	}
}

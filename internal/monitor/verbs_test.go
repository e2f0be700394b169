package monitor

import (
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/requests"
	"deputy/internal/monitor/site"
	"deputy/internal/request"
	"deputy/internal/wall"
)

// pause is a verb that there is not.
const pause wall.Kind = 63

// A verb that nobody guards, or that nothing does, is found before anything is touched.
func TestAMonitorWithAHoleInItsVerbsDoesNotStart(t *testing.T) {
	do := func(asked) {}
	for why, hole := range map[string]func(v requests.Verbs){
		`the verb "pause" (kind 63) has no access`: func(v requests.Verbs) { v[pause] = requests.Verb{Verb: wall.Verb{Name: "pause"}, Do: do} },
		`the verb "pause" (kind 63) has no handler`: func(v requests.Verbs) {
			v[pause] = requests.Verb{Verb: wall.Verb{Name: "pause", Access: wall.Operator}, Do: nil}
		},
		`the verb "" (kind 63) has no access`:       func(v requests.Verbs) { v[pause] = requests.Join(nil, map[wall.Kind]func(asked){pause: do})[pause] },
		`the verb "drain" (kind 10) has no handler`: func(v requests.Verbs) { v[wall.Drain] = requests.Join(wall.Verbs(), nil)[wall.Drain] },
		`the verb "hello" (kind 1) has a handler`:   func(v requests.Verbs) { v[wall.Hello] = requests.Verb{Verb: v[wall.Hello].Verb, Do: do} },
	} {
		dir := filepath.Join(t.TempDir(), "var")
		m := New(Options{Paths: site.Under(filepath.Join(dir, "etc"), dir), Up: true, Log: log.New(io.Discard, "", 0)})
		if err := m.requests.Verbs.Check(); err != nil {
			t.Fatalf("without a hole: %v", err)
		}
		hole(m.requests.Verbs)
		if err := m.Run(nil, nil); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %s", err, why)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s: something was touched: %v", why, err)
		}
	}
}

// handed gives what a request is answered with.
type handed struct{ outcome wall.Outcome }

func (h *handed) Answer(_ uint64, o wall.Outcome)        { h.outcome = o }
func (h *handed) Text([]byte)                            {}
func (h *handed) Refuse(_ uint64, refusal *deputy.Error) { h.outcome.Error = refusal }

// denied counts the denials that were recorded.
func (v *verifier) denied() (n int) {
	v.t.Helper()
	if err := v.journal.Flush(); err != nil {
		v.t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(v.o.Paths.Journal(), "*"))
	if err != nil {
		v.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			v.t.Fatal(err)
		}
		n += strings.Count(string(text), `"type":"`+string(deputy.Denied)+`"`)
	}
	return n
}

// A verb is served by its row and its handler, however it was asked for, and signed by its
// route: whoever is no operator is refused one of theirs, and that is recorded.
func TestAnOperatorsVerbIsItsRowItsHandlerAndItsRoute(t *testing.T) {
	v := newVerifier(t)
	rows, handlers := wall.Verbs(), v.handlers()
	rows[pause] = wall.Verb{Name: "pause", Access: wall.Operator}
	handlers[pause] = func(a asked) { a.Reply.Answer(0, wall.Outcome{Digest: "paused " + a.R.Module}) }
	route := request.Route{Method: "POST", Path: "/v1/pause/{module}", Verb: pause, Read: func(at request.Target, _ []byte, _ request.Limit) (wall.Request, error) {
		return wall.Request{Module: at.Path[2]}, nil
	}}
	v.loop.Do(func() { v.requests.Verbs, v.signers.Routes = requests.Join(rows, handlers), request.Routes(route) })
	if err := v.requests.Verbs.Check(); err != nil {
		t.Fatal(err)
	}
	ask := func(caller deputy.Caller, kind wall.Kind) wall.Outcome {
		var h handed
		v.loop.Do(func() {
			r, id := &wall.Request{Kind: kind, Module: "m"}, policy.Identity{Caller: caller}
			v.requests.Handle(asked{R: r, ID: id, J: v.admission.Judge(r, id), Reply: &h})
		})
		return h.outcome
	}
	if o := ask("key:boss", pause); o.Error != nil || o.Digest != "paused m" {
		t.Errorf("an operator: %+v (%v)", o, o.Error)
	}
	if n := v.denied(); n != 0 {
		t.Errorf("%d denials are recorded", n)
	}
	if o := ask("key:panel", pause); o.Error == nil || o.Error.Code != deputy.NotAllowed || !strings.Contains(o.Error.Detail, "may not pause: only an operator may") {
		t.Errorf("another: %+v (%v)", o, o.Error)
	}
	for _, kind := range []wall.Kind{wall.Hello, wall.Ping, wall.Signed, 62} {
		if o := ask("key:boss", kind); o.Error == nil || o.Error.Code != deputy.NotAllowed {
			t.Errorf("kind %d is no request of a caller's: %+v", kind, o)
		}
	}
	if n := v.denied(); n != 4 { // all but of ping, which changes nothing
		t.Errorf("%d denials are recorded", n)
	}
	sign := func(key string) wall.Outcome {
		return v.ask(v.sign(key, v.secrets[key][0], wall.HTTP, "POST", "/v1/pause/m", "", "", ""))[0]
	}
	if o := sign("boss"); o.Error != nil || o.Digest != "paused m" || o.Rights == nil || o.Rights.Caller != "key:boss" {
		t.Errorf("signed by an operator: %+v (%v)", o, o.Error)
	}
	if o := sign("panel"); o.Error == nil || o.Error.Code != deputy.NotAllowed || !strings.Contains(o.Error.Detail, "only an operator may") {
		t.Errorf("signed by another: %+v (%v)", o, o.Error)
	}
	if n := v.denied(); n != 5 {
		t.Errorf("%d denials are recorded", n)
	}
}

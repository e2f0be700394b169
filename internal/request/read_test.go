package request

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"deputy"
	"deputy/internal/wall"
)

func TestRead(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	for _, c := range []struct {
		method, target, body string
		want                 wall.Request
		refused              string
	}{
		{"GET", "/v1/tasks?limit=3", "", wall.Request{Kind: wall.Rights}, ""},
		{"HEAD", "/v1/tasks/x", "", wall.Request{Kind: wall.Rights}, ""},
		{"GET", "/v1/actions", "", wall.Request{Kind: wall.Actions}, ""},
		{"GET", "/v1/actions?all=0", "", wall.Request{Kind: wall.Actions}, ""},
		{"GET", "/v1/actions?all=1", "", wall.Request{Kind: wall.Actions, All: true}, ""},
		{"GET", "/v1/actions?all=1&all=1", "", wall.Request{}, "stands twice"},
		{"GET", "/v1/actions?all=2", "", wall.Request{}, "all is 0 or 1"},
		{"GET", "/v1/actions/m/a", "", wall.Request{Kind: wall.Actions}, ""},

		{"POST", "/v1/actions/m/a?wait=1", `{"n":1}`, wall.Request{Kind: wall.Call, Module: "m", Action: "a", Params: deputy.Params{"n": deputy.Number("1")}}, ""},
		{"POST", "/v1/actions/m/" + long, "", wall.Request{}, "no action is named so"},
		{"POST", "/v1/actions/m%2Fx/a", "", wall.Request{}, "no action is named so"},
		{"POST", "/v1/actions/m/a", "[1]", wall.Request{}, "an object is needed here"},
		{"POST", "/v1/actions/m/a", `{"n":"` + strings.Repeat("y", 64) + `"}`, wall.Request{}, "more than 64 bytes"},
		{"POST", "/v1/explain/m/a?as=uid:3", "", wall.Request{Kind: wall.Explain, Module: "m", Action: "a", As: "uid:3", Params: deputy.Params{}}, ""},
		{"POST", "/v1/explain/m/a?as=", "", wall.Request{}, "name a caller"},
		{"POST", "/v1/explain/m/a?as=" + long, "", wall.Request{}, "name a caller"},
		{"POST", "/v1/explain/m/a?for=x", "", wall.Request{}, "this path takes as"},
		{"POST", "/v1/tasks/x/stop", `{"grace":"5s"}`, wall.Request{Kind: wall.Stop, Task: "x", GraceMS: 5000}, ""},
		{"POST", "/v1/tasks/x/stop?force=1", "", wall.Request{}, "this path takes none"},
		{"POST", "/v1/drain", `{"on":false}`, wall.Request{Kind: wall.Drain}, ""},
		{"POST", "/v1/drain?on=1", "", wall.Request{}, "this path takes none"},
		{"POST", "/v1/reload", "", wall.Request{Kind: wall.Reload}, ""},
		{"POST", "/v1/upgrade", "", wall.Request{Kind: wall.Upgrade}, ""},
		{"POST", "/v1/tasks", "", wall.Request{}, "there is no such path"},
	} {
		at, err := ParseTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Routes().Read(c.method, at, []byte(c.body), func(string, string) int { return 64 })
		switch {
		case c.refused != "":
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s %.80s: %v, want %q", c.method, c.target, err, c.refused)
			}
		case err != nil || !reflect.DeepEqual(got, c.want):
			t.Errorf("%s %s: %+v, %v", c.method, c.target, got, err)
		}
	}
}

// A verb is read by its line: nothing else knows of it.
func TestAVerbIsReadByItsLine(t *testing.T) {
	pause := Route{Method: "POST", Path: "/v1/pause/{module}", Verb: 63, Read: func(at Target, body []byte, _ Limit) (asked wall.Request, err error) {
		asked.Module = at.Path[2]
		asked.On, err = drain(body)
		return asked, err
	}}
	at, err := ParseTarget("/v1/pause/m")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Routes(pause).Read("POST", at, []byte(`{"on":true}`), nil)
	if want := (wall.Request{Kind: 63, Module: "m", On: true}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Routes(pause).Read("POST", at, []byte(`{"on":1}`), nil); err == nil {
		t.Error("a body that its line does not take was taken")
	}
	if got, err := Routes(pause).Read("GET", at, nil, nil); err != nil || got.Kind != wall.Rights {
		t.Errorf("to read there: %+v, %v", got, err)
	}
	if _, err := Routes().Read("POST", at, nil, nil); err == nil {
		t.Error("it is read without its line")
	}
}

// Whoever may not ask for a verb over the wall may not by a route: each is a caller's.
func TestARouteAsksInACallersName(t *testing.T) {
	for _, r := range Routes() {
		if a := r.Verb.Access(); a != wall.Caller && a != wall.Operator {
			t.Errorf("%s %s asks for %s", r.Method, r.Path, r.Verb)
		}
		if r.Method == "GET" && !r.Verb.Reads() {
			t.Errorf("%s %s changes something", r.Method, r.Path)
		}
	}
}

// oneWay gives the monitor's end what the server's end wrote.
type oneWay struct{ *bytes.Reader }

func (oneWay) Write(p []byte) (int, error) { return len(p), nil }

// FuzzBody: whatever body is taken crosses the wall, and means the same there.
// A body that broke the wall's protocol would cost the server its life.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		"", "[]", "{}", `{"a":1,"b":[true,null,"x"],"c":{"d":-1.5e3}}`, `{"a":1,"A":2}`, "{\"a\":\"\xff\"}", `{"\u0000":1}`,
		`{"a":` + strings.Repeat("[", 29) + strings.Repeat("]", 29) + `}`, `{"a":` + strings.Repeat("[", 40) + `}`,
		`{"` + strings.Repeat("n", 1025) + `":1}`, `{"a":` + strings.Repeat("1", 1025) + `}`,
	} {
		f.Add([]byte(seed))
	}
	routes := Routes()
	f.Fuzz(func(t *testing.T, body []byte) {
		asked, err := routes.Read("POST", Target{Path: []string{"v1", "actions", "m", "a"}}, body, nil)
		if err != nil {
			var refused *deputy.Error
			if !errors.As(err, &refused) || refused.Code != deputy.BadJSON || refused.Detail == "" {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		sent := asked
		sent.ID, sent.Connection = 1, 2
		frame, err := sent.Encode()
		if err != nil {
			t.Fatalf("cannot be sent: %v", err)
		}
		got, err := wall.NewPeer(oneWay{bytes.NewReader(frame)}).Receive()
		if err == nil {
			err = got.Unpack()
		}
		if err != nil {
			t.Fatalf("breaks the wall: %v", err)
		}
		got.Size = 0 // the monitor's own
		if !reflect.DeepEqual(sent, *got) {
			t.Fatalf("means something else: %v\n%v", sent, *got)
		}
	})
}

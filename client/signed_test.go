package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/client"
	"deputy/internal/signature"
)

// gate is a server that takes what one key has signed for it, each once.
func gate(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	nonces := map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a, err := signature.Parse(r.Header.Get("Authorization"))
		if err != nil || nonces[a.Nonce] || a.ID != "panel" || !a.Verify([]byte("secret"), signature.Request{
			Method: r.Method, Audience: "gate1", Target: r.RequestURI, IdempotencyKey: r.Header.Get("Idempotency-Key"),
			EndUser: r.Header.Get("Deputy-End-User"), Body: body,
		}) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		nonces[a.Nonce] = true
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestSigned(t *testing.T) {
	s := gate(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"tasks":[{"id":"t"}]}`) })
	c := client.Signed(s.URL+"/", "panel", []byte("secret\r\nthe one before\n"), "gate1")
	o := client.Options{IdempotencyKey: "k", EndUser: "Zoë", Wait: time.Second, Output: 1}
	for range 2 {
		if tasks, err := c.Call(t.Context(), "m", "a c/t", deputy.Params{"n": int64(1)}, o); err != nil || len(tasks) != 1 {
			t.Errorf("got %v %v", tasks, err)
		}
	}
	if _, err := c.Tasks(t.Context(), client.Query{Module: "m&x=1", EndUser: "é"}); err != nil {
		t.Error(err)
	}
	for what, other := range map[string]*client.Client{
		"key":      client.Signed(s.URL, "other", []byte("secret"), "gate1"),
		"secret":   client.Signed(s.URL, "panel", []byte("Secret"), "gate1"),
		"audience": client.Signed(s.URL, "panel", []byte("secret"), "gate2"),
	} {
		var e *deputy.Error
		if _, err := other.Health(t.Context()); !errors.As(err, &e) || e.Code != deputy.NotAuthenticated {
			t.Errorf("another %s: %v", what, err)
		}
	}
}

// A request that is sent again is signed again: a nonce is good once.
func TestSignedAnew(t *testing.T) {
	asked := 0
	s := gate(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 3 {
			abort()
		}
		io.WriteString(w, `{"status":"ok"}`)
	})
	c := client.Signed(s.URL, "panel", []byte("secret"), "gate1")
	if h, err := c.Health(t.Context()); err != nil || h.Status != "ok" || asked != 3 {
		t.Errorf("got %+v %v after %d requests", h, err, asked)
	}
}

func TestSignedUnreachable(t *testing.T) {
	s := gate(t, nil)
	s.Close()
	_, err := client.Signed(s.URL, "panel", []byte("secret"), "gate1").Health(t.Context())
	var e *client.UnreachableError
	if !errors.As(err, &e) || e.Tried[0].Socket != strings.TrimPrefix(s.URL, "http://") || e.Tried[0].Reason != "connection refused" {
		t.Errorf("got %v", err)
	}
}

func TestRun(t *testing.T) {
	const live, ended = `{"id":"a","state":"running"}`, `{"id":"a","state":"succeeded","ended":"2026-01-02T03:04:05.000Z","exit":{"code":0},"stdout":"o","stderr":"e","truncated":true}`
	const failed = `{"id":"b","state":"failed","ended":"2026-01-02T03:04:05.000Z","reason":"r","exit":{"code":3},"stdout":"","stderr":"","truncated":false}`
	tests := []struct {
		name    string
		answers []string // a task that still lives makes it 202
		wait    time.Duration
		want    client.Result
	}{
		{"at once", []string{ended}, 0, client.Result{OK: true, State: "succeeded", Ended: true, ID: "a", Stdout: "o", Stderr: "e", Truncated: true}},
		{"at the third look", []string{live, live, ended}, 0, client.Result{OK: true, State: "succeeded", Ended: true, ID: "a", Stdout: "o", Stderr: "e", Truncated: true}},
		{"the one that failed", []string{ended + "," + failed}, 0, client.Result{Code: 3, State: "failed", Ended: true, Reason: "r", ID: "b"}},
		{"none", []string{""}, 0, client.Result{OK: true, Code: -1}},
		{"not in time", []string{live}, time.Millisecond, client.Result{Code: -1, State: "running", ID: "a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			keys, asked := map[string]bool{}, 0
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				answer := test.answers[min(asked, len(test.answers)-1)]
				asked++
				keys[r.Header.Get("Idempotency-Key")] = true
				if strings.Contains(answer, "running") {
					w.WriteHeader(http.StatusAccepted)
				}
				io.WriteString(w, `{"tasks":[`+answer+`]}`)
			})
			r, err := c.Run(t.Context(), "m", "a", nil, client.Options{Wait: test.wait})
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) != 1 || keys[""] {
				t.Errorf("%d requests with the keys %v, want one key", asked, keys)
			}
			got := *r
			got.Tasks = nil
			if len(test.answers[0]) > 0 && len(r.Tasks) == 0 || !equal(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// equal compares results without their tasks.
func equal(a, b client.Result) bool {
	return a.OK == b.OK && a.Code == b.Code && a.State == b.State && a.Ended == b.Ended && a.Reason == b.Reason && a.ID == b.ID &&
		a.Stdout == b.Stdout && a.Stderr == b.Stderr && a.Truncated == b.Truncated
}

// A line feed in what becomes a header is refused here: nothing is sent, or sent again.
func TestHeadersCannotBeMadeUp(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	for _, o := range []client.Options{{IdempotencyKey: "a\nb"}, {EndUser: "a\r\nX: y"}, {EndUser: "\x00"}} {
		var e *client.Error
		if _, err := c.Call(t.Context(), "m", "a", nil, o); !errors.As(err, &e) || e.Refusal.Code != deputy.BadRequest || e.Status != 0 {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

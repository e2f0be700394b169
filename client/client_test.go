package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"deputy"
	"deputy/client"
)

// listen serves a handler on a Unix socket, as a daemon does.
func listen(t *testing.T, socket string, h http.Handler) *httptest.Server {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// serve gives a client of a handler.
func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	listen(t, socket, h)
	c := client.New(socket)
	t.Cleanup(c.Close)
	return c
}

// abort breaks the connection without an answer, as a killed server does.
func abort() { panic(http.ErrAbortHandler) }

func TestCallOnTheWire(t *testing.T) {
	const big = "9007199254740993" // beyond a float64
	tests := []struct {
		name   string
		params any
		o      client.Options
		want   string
	}{
		{"none", nil, client.Options{}, "POST /v1/actions/m/a  key= for= type=application/json {}"},
		{"raw is sent as it is", json.RawMessage(`{"a":1, "a":2}`), client.Options{},
			`POST /v1/actions/m/a  key= for= type=application/json {"a":1, "a":2}`},
		{"numbers as written", deputy.Params{"n": deputy.Number(big), "l": []any{deputy.Number("1.0"), "x"}}, client.Options{},
			`POST /v1/actions/m/a  key= for= type=application/json {"l":[1.0,"x"],"n":` + big + `}`},
		{"options", nil, client.Options{IdempotencyKey: "k", EndUser: "alice", Wait: 1500 * time.Millisecond, Output: 10},
			"POST /v1/actions/m/a output=10&wait=2 key=k for=alice type=application/json {}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got string
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = fmt.Sprintf("%s %s %s key=%s for=%s type=%s %s", r.Method, r.URL.EscapedPath(), r.URL.RawQuery,
					r.Header.Get("Idempotency-Key"), r.Header.Get("Deputy-End-User"), r.Header.Get("Content-Type"), body)
				w.WriteHeader(http.StatusAccepted)
				io.WriteString(w, `{"tasks":[{"id":"t1","params":{"n":`+big+`}}]}`)
			})
			tasks, err := c.Call(t.Context(), "m", "a", test.params, test.o)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("sent %q\nwant %q", got, test.want)
			}
			if len(tasks) != 1 || tasks[0].ID != "t1" || fmt.Sprint(tasks[0].Params["n"]) != big {
				t.Errorf("read %+v", tasks)
			}
		})
	}
}

func TestNamesAreEscaped(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/v1/actions/a%2Fb/c%3Fd" {
			t.Errorf("path %q", r.URL.EscapedPath())
		}
		io.WriteString(w, `{"module":"a/b","action":"c?d"}`)
	})
	if _, err := c.Action(t.Context(), "a/b", "c?d"); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
		code       deputy.Code
		detail     string
	}{
		{"problem", `{"type":"about:blank","status":422,"code":"bad_param","detail":"cannot","errors":[{"param":"p","detail":"d"}]}`,
			422, deputy.BadParam, "cannot"},
		{"no JSON", "nginx says no", 502, deputy.OutcomeUnknown, "the daemon answered 502 Bad Gateway: nginx says no"},
		{"redirect is not followed", "", 302, deputy.BadRequest, "the daemon answered 302 Found: "},
		{"no code", `{"detail":"x"}`, 403, deputy.NotAllowed, "x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			})
			_, err := c.Actions(t.Context())
			var e *client.Error
			var noun *deputy.Error
			if !errors.As(err, &e) || !errors.As(err, &noun) {
				t.Fatalf("got %v", err)
			}
			if e.Status != test.status || noun.Code != test.code || noun.Detail != test.detail {
				t.Errorf("got %d %s %q", e.Status, noun.Code, noun.Detail)
			}
			if test.name == "problem" && (len(noun.Errors) != 1 || noun.Errors[0].Param != "p") {
				t.Errorf("errors %+v", noun.Errors)
			}
		})
	}
}

func TestUnreachableNamesEachPlace(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	c := client.New(filepath.Join(dir, "none"), stale)
	begun := time.Now()
	_, err = c.Health(t.Context())
	var e *client.UnreachableError
	if !errors.As(err, &e) || len(e.Tried) != 2 {
		t.Fatalf("got %v", err)
	}
	if e.Tried[0].Reason != "no such file or directory" || e.Tried[1].Reason != "connection refused" {
		t.Errorf("reasons %+v", e.Tried)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("a daemon that was never there was waited for: %s", took)
	}
}

func TestFirstSocketThatAnswersIsKept(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	health := func(version string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"status":"ok","version":%q}`, version)
		})
	}
	server := listen(t, second, health("second"))
	c := client.New(first, second)
	c.Patience = 10 * time.Millisecond
	h, err := c.Health(t.Context())
	if err != nil || h.Version != "second" || c.Socket() != second {
		t.Fatalf("%+v %v, socket %q", h, err, c.Socket())
	}
	listen(t, first, health("first"))
	server.CloseClientConnections()
	server.Close()
	if h, err := c.Health(t.Context()); err == nil {
		t.Errorf("another daemon took the place of the first: %+v", h)
	}
}

func TestLostAnswers(t *testing.T) {
	tests := []struct {
		name  string
		key   string
		asked int32
		err   bool
	}{
		{"with a key it is asked again", "k", 3, false},
		{"without a key it is not", "", 1, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var asked atomic.Int32
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				switch asked.Add(1) {
				case 1:
					abort()
				case 2: // half an answer
					w.Header().Set("Content-Length", "100")
					io.WriteString(w, `{"tasks":[`)
					abort()
				}
				io.WriteString(w, `{"tasks":[]}`)
			})
			_, err := c.Call(t.Context(), "m", "a", nil, client.Options{IdempotencyKey: test.key})
			var lost *client.LostError
			if errors.As(err, &lost) != test.err || (err != nil) != test.err {
				t.Errorf("got %v", err)
			}
			if asked.Load() != test.asked {
				t.Errorf("asked %d times, want %d", asked.Load(), test.asked)
			}
		})
	}
}

func TestGivingUpIsTheContextsError(t *testing.T) {
	arrived := make(chan struct{})
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-arrived
		cancel(errors.New("interrupt signal received"))
	}()
	if _, err := c.Task(ctx, "t", time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestPagesOfTasks(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		switch r.URL.Query().Get("cursor") {
		case "":
			io.WriteString(w, `{"tasks":[{"id":"3"},{"id":"2"}],"next":"c1"}`)
		case "c1": // a page may be empty and still have a next one
			io.WriteString(w, `{"tasks":[],"next":"c2"}`)
		default:
			io.WriteString(w, `{"tasks":[{"id":"1"}],"next":null}`)
		}
	})
	lock := ""
	q := client.Query{States: []deputy.State{deputy.Queued, deputy.Running}, Lock: &lock, Limit: 2,
		Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	var ids []string
	err := c.Each(t.Context(), q, func(task *deputy.Task) bool { ids = append(ids, task.ID); return true })
	if err != nil || strings.Join(ids, "") != "321" {
		t.Errorf("got %v %v", ids, err)
	}
	want := "limit=2&lock=&since=2026-01-02T03%3A04%3A05.000Z&state=queued&state=running"
	if asked[0] != want {
		t.Errorf("asked %q\nwant  %q", asked[0], want)
	}
	ids = nil
	err = c.Each(t.Context(), q, func(task *deputy.Task) bool { ids = append(ids, task.ID); return false })
	if err != nil || strings.Join(ids, "") != "3" {
		t.Errorf("f said enough, got %v %v", ids, err)
	}
}

func TestStop(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/v1/tasks/t1/stop" || string(body) != `{"force":true,"grace":"1.5s"}` {
			t.Errorf("asked %s %s", r.URL.Path, body)
		}
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"id":"t1","state":"stopping","stop":{"empty":false,"survivors":[{"pid":7,"comm":"x","state":"D"}]}}`)
	})
	grace := 1500 * time.Millisecond
	task, err := c.Stop(t.Context(), "t1", client.StopOptions{Grace: &grace, Force: true})
	if err != nil || task.Stop.Empty || task.Stop.Survivors[0].PID != 7 {
		t.Errorf("got %+v %v", task, err)
	}
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"deputy"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with testdata/NAME.
func golden(t *testing.T, name, text string) {
	t.Helper()
	compare(t, filepath.Join("testdata", name), text)
}

func compare(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s has changed (go test -update writes it anew); got:\n%s", path, text)
	}
}

// now is when the tests happen.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// daemon speaks the HTTP API about the tasks it was given.
type daemon struct {
	mu      sync.Mutex
	tasks   []*deputy.Task // oldest first
	stdout  map[string]string
	stderr  map[string]string
	asked   []string // "METHOD TARGET BODY"
	answers map[string]answer
	health  string
}

// answer is a canned one, for "METHOD PATH".
type answer struct {
	status int
	body   string
}

func newDaemon(tasks ...*deputy.Task) *daemon {
	return &daemon{tasks: tasks, stdout: map[string]string{}, stderr: map[string]string{}, answers: map[string]answer{},
		health: `{"status":"ok","version":"1.2.3"}`}
}

// id makes a UUIDv7 that ends in the 8 digits of n.
func id(n int) string { return fmt.Sprintf("019af2c4-7d10-7000-8000-%012x", n) }

func ptr[T any](v T) *T { return &v }

func task(n int, s deputy.State, params map[string]any) *deputy.Task {
	t := &deputy.Task{
		ID: id(n), Module: "scan", Action: "start", Params: params, Caller: "uid:4242", State: s,
		Created: deputy.Time{Time: now.Add(-time.Minute)}, Joined: []deputy.Caller{},
	}
	if !slices.Contains(deputy.LiveStates(), s) {
		t.Ended = &deputy.Time{Time: now}
	}
	if s == deputy.Succeeded {
		t.Exit = &deputy.Exit{Code: ptr(0)}
	}
	return t
}

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	if a, ok := d.answers[r.Method+" "+r.URL.Path]; ok {
		w.WriteHeader(a.status)
		io.WriteString(w, a.body)
		return
	}
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/healthz":
		io.WriteString(w, d.health)
	case r.URL.Path == "/v1/tasks":
		d.list(w, r)
	case len(part) >= 3 && part[1] == "tasks":
		d.one(w, r, part)
	default:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"code":"unknown_action","detail":"cannot find it"}`)
	}
}

func (d *daemon) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	page := []*deputy.Task{}
	for i := len(d.tasks) - 1; i >= 0; i-- {
		t := d.tasks[i]
		wanted := len(q["state"]) == 0
		for _, s := range q["state"] {
			wanted = wanted || s == string(t.State)
		}
		if wanted && (q.Get("caller") == "" || q.Get("caller") == string(t.Caller)) && (q.Get("module") == "" || q.Get("module") == t.Module) {
			page = append(page, t)
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"tasks": page, "next": nil})
}

func (d *daemon) one(w http.ResponseWriter, r *http.Request, part []string) {
	var found *deputy.Task
	for _, t := range d.tasks {
		if t.ID == part[2] {
			found = t
		}
	}
	switch {
	case found == nil:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"code":"unknown_task","detail":"cannot find the task"}`)
	case len(part) == 3:
		json.NewEncoder(w).Encode(found)
	case part[3] == "stop":
		json.NewEncoder(w).Encode(found)
	default:
		text := d.stdout[found.ID]
		if part[3] == "stderr" {
			text = d.stderr[found.ID]
		}
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		w.Header().Set("Deputy-State", string(found.State))
		w.Header().Set("Deputy-Ended", strconv.FormatBool(found.Ended != nil))
		w.Header().Set("Deputy-Next-Offset", strconv.Itoa(len(text)))
		io.WriteString(w, text[min(offset, len(text)):])
	}
}

// saw gives the requests that began so.
func (d *daemon) saw(prefix string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	for _, a := range d.asked {
		if strings.HasPrefix(a, prefix) {
			list = append(list, a)
		}
	}
	return list
}

// listen gives the socket of a handler.
func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "deputy.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	s.Start()
	t.Cleanup(s.Close)
	return socket
}

// result is what a run of deputy left.
type result struct {
	out, err string
	status   int
}

func (r result) String() string {
	return fmt.Sprintf("%s--- stderr\n%s--- exit %d\n", r.out, r.err, r.status)
}

// setting is what differs between runs.
type setting struct {
	in       string
	terminal bool
	width    int // 0: 100
	env      map[string]string
	uid      int  // 0: 4242
	self     bool // uid is that of the test
	ctx      context.Context
}

// deputyRun runs the command line in this process against a socket.
func deputyRun(t *testing.T, socket string, s setting, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{"DEPUTY_SOCKET": socket, "NO_COLOR": "1"}
	for k, v := range s.env {
		env[k] = v
	}
	switch {
	case s.self:
		s.uid = os.Getuid()
	case s.uid == 0:
		s.uid = 4242
	}
	if s.ctx == nil {
		s.ctx = t.Context()
	}
	a := &app{
		in: strings.NewReader(s.in), out: &out, err: &errs, inTerm: s.terminal, outTerm: s.terminal, errTerm: s.terminal, width: cmp.Or(s.width, 100),
		getenv: func(name string) string { return env[name] }, uid: s.uid, now: func() time.Time { return now },
	}
	status := a.report(run(s.ctx, a, args))
	return result{out.String(), errs.String(), status}
}

// lateListener listens only after a while: that a late daemon is waited for is
// what is tested.
func lateListener(socket string) net.Listener {
	time.Sleep(100 * time.Millisecond)
	l, err := net.Listen("unix", socket)
	if err != nil {
		panic(err)
	}
	return l
}

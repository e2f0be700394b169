package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"deputy"
)

// running makes a daemon that answers a call with these tasks.
func running(tasks ...*deputy.Task) *daemon {
	d := newDaemon(tasks...)
	text, err := json.Marshal(map[string]any{"tasks": tasks})
	if err != nil {
		panic(err)
	}
	d.answers["POST /v1/actions/scan/start"] = answer{http.StatusAccepted, string(text)}
	return d
}

// over gives a task that has ended so.
func over(s deputy.State, e *deputy.Exit, reason string) *deputy.Task {
	t := task(1, s, nil)
	t.Exit = e
	if reason != "" {
		t.Reason = &reason
	}
	return t
}

func TestRunEndsAsTheTaskDoes(t *testing.T) {
	code := func(n int) *deputy.Exit { return &deputy.Exit{Code: &n} }
	tests := []struct {
		name   string
		task   *deputy.Task
		status int
		say    string
	}{
		{"success", over(deputy.Succeeded, code(0), ""), 0, ""},
		{"declared success", over(deputy.Succeeded, code(3), ""), 3, ""},
		{"its code", over(deputy.Failed, code(7), "it exited with code 7"), 7, ""},
		{"failed with 0", over(deputy.Failed, code(0), "0 is not among success_codes"), 1, ""},
		{"not executable", over(deputy.Failed, code(126), "cannot execute /x: permission denied"), 126,
			"deputy: …00000001 failed: cannot execute /x: permission denied\n"},
		{"not found", over(deputy.Failed, code(127), "cannot find /x"), 127, "deputy: …00000001 failed: cannot find /x\n"},
		{"signal", over(deputy.Failed, &deputy.Exit{Signal: "SIGKILL"}, "it was killed by SIGKILL"), 137,
			"deputy: …00000001 failed: it was killed by SIGKILL\n"},
		{"odd signal", over(deputy.Failed, &deputy.Exit{Signal: "SIGODD"}, ""), 255, "deputy: …00000001 failed: SIGODD\n"},
		{"timed out", over(deputy.TimedOut, &deputy.Exit{Signal: "SIGTERM"}, "its timeout of 1 s passed"), 124,
			"deputy: …00000001 timed out: its timeout of 1 s passed\n"},
		{"stopped", over(deputy.Stopped, code(0), "stopped by uid 0"), 143, "deputy: …00000001 stopped: stopped by uid 0\n"},
		{"expired", over(deputy.Expired, nil, "it was not started: 1m0s had passed"), 125, "deputy: …00000001 expired: it was not started: 1m0s had passed\n"},
		{"rejected", over(deputy.Rejected, nil, "its action was changed while it waited"), 125, "deputy: …00000001 rejected: its action was changed while it waited\n"},
		{"an end of a later version", over("frobnicated", nil, "who knows"), 255, "deputy: …00000001 frobnicated: who knows\n"},
		{"unknown", over(deputy.Unknown, &deputy.Exit{Unknown: "the keeper died"}, "the keeper died"), 255,
			"deputy: …00000001 unknown: the keeper died\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := running(test.task)
			// Every byte value, and a last line without an end.
			var bytes strings.Builder
			for b := range 256 {
				bytes.WriteByte(byte(b))
			}
			d.stdout[test.task.ID], d.stderr[test.task.ID] = bytes.String(), "err"
			r := deputyRun(t, listen(t, d), setting{}, "run", "scan", "start")
			if r.status != test.status || r.out != bytes.String() || r.err != "err"+test.say {
				t.Errorf("got %s", r)
			}
			if w := deputyRun(t, listen(t, d), setting{}, "wait", "@"); w.status != test.status || w.err != "" {
				t.Errorf("wait: %s", w)
			}
		})
	}
}

func TestRunOfSeveralMarksLines(t *testing.T) {
	one, two := task(1, deputy.Succeeded, nil), task(2, deputy.Failed, nil)
	two.Exit = &deputy.Exit{Code: ptr(5)}
	d := running(one, two)
	d.stdout[one.ID], d.stdout[two.ID] = "a\nb", "c\n\n"
	r := deputyRun(t, listen(t, d), setting{}, "run", "scan", "start")
	for _, want := range []string{"00000001 | a\n00000001 | b\n", "00000002 | c\n00000002 | \n"} {
		if !strings.Contains(r.out, strings.SplitAfter(want, "\n")[0]) || strings.Count(r.out, "\n") != 4 {
			t.Errorf("%q is not in %q", want, r.out)
		}
	}
	if r.status != 5 {
		t.Errorf("exit %d, want that of the first which failed", r.status)
	}
}

func TestRunJSON(t *testing.T) {
	one := task(1, deputy.Succeeded, nil)
	d := running(one)
	d.stdout[one.ID] = "grün \xff"
	r := deputyRun(t, listen(t, d), setting{}, "run", "--json", "scan", "start")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	first := fmt.Sprintf(`{"task":%q,"stream":"stdout","offset":0,"text":"grün `+"\uFFFD"+`"}`, id(1))
	if len(lines) != 2 || lines[0] != first || !strings.Contains(lines[1], `"end":{"id":`) || r.status != 0 {
		t.Errorf("got %s\nwant %s", r, first)
	}
}

func TestRunOfAnActionThatStops(t *testing.T) {
	halted := task(1, deputy.Stopped, nil)
	halted.Action = "other"
	halted.Stop = &deputy.Receipt{Signalled: true, Killed: 2, TookMS: 1234, Empty: true, Proof: "subreaper"}
	r := deputyRun(t, listen(t, running(halted)), setting{}, "run", "scan", "start")
	if want := "stopped " + id(1) + ": stop signal sent, 2 killed, nothing lives (proof: subreaper), 1.2 s\n"; r.out != want || r.status != 0 {
		t.Errorf("got %s", r)
	}
}

// Ctrl-C: the task goes on, and it is said how to end it.
func TestRunDetaches(t *testing.T) {
	alive := task(1, deputy.Running, nil)
	ctx, cancel := context.WithCancel(t.Context())
	d := running(alive)
	followed := sync.OnceFunc(cancel)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/stdout") {
			followed()
			<-r.Context().Done()
			return
		}
		if strings.HasSuffix(r.URL.Path, "/stderr") {
			<-r.Context().Done()
			return
		}
		d.ServeHTTP(w, r)
	})
	r := deputyRun(t, listen(t, h), setting{ctx: ctx}, "run", "scan", "start")
	want := "deputy: detached; it goes on. Watch it with: deputy logs -f 00000001; stop it with: deputy stop 00000001\n"
	if r.status != statusInterrupted || r.err != want {
		t.Errorf("got %s", r)
	}
	if stops := d.saw("POST /v1/tasks"); len(stops) > 0 {
		t.Errorf("it was stopped: %v", stops)
	}
}

// A key of deputy's own makes a lost answer harmless.
func TestRunAsksAgainAfterALostAnswer(t *testing.T) {
	one := task(1, deputy.Succeeded, nil)
	d := running(one)
	var mu sync.Mutex
	var keys []string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			mu.Lock()
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			lost := len(keys) == 1
			mu.Unlock()
			if lost {
				panic(http.ErrAbortHandler)
			}
		}
		d.ServeHTTP(w, r)
	})
	r := deputyRun(t, listen(t, h), setting{}, "run", "scan", "start")
	if r.status != 0 || len(keys) != 2 || keys[0] != keys[1] || keys[0] == "" {
		t.Errorf("keys %q, %s", keys, r)
	}
}

func TestOutcomeUnknown(t *testing.T) {
	d := newDaemon()
	d.answers["POST /v1/actions/scan/start"] = answer{500, `{"code":"outcome_unknown","detail":"ask again with the same Idempotency-Key"}`}
	if r := deputyRun(t, listen(t, d), setting{}, "run", "scan", "start"); r.status != 255 {
		t.Errorf("got %s", r)
	}
}

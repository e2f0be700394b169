package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"deputy"
)

// A table of tasks fits 80 columns, whatever is in it; columns that hold nothing are
// not there, and what tells tasks apart is not cut away.
func TestPsFitsTheTerminal(t *testing.T) {
	d := newDaemon()
	for n := range 3 {
		d.tasks = append(d.tasks, task(n+1, deputy.Running, map[string]any{
			"a_first": strings.Repeat("always the same ", 9), "site": fmt.Sprint("漢字のサイト", n), "z_last": strings.Repeat("z", 50),
		}))
	}
	d.tasks[1].Module = strings.Repeat("module", 6)
	d.tasks[2].Progress = &deputy.Progress{Message: ptr(strings.Repeat("進", 70))}
	for _, progress := range []bool{true, false} {
		if !progress {
			d.tasks[2].Progress = nil
		}
		r := deputyRun(t, listen(t, d), setting{terminal: true, width: 80}, "ps")
		for line := range strings.Lines(r.out) {
			if n := screenWidth(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("a line of %d columns: %s", n, line)
			}
		}
		if strings.Contains(r.out, "PROGRESS") != progress {
			t.Errorf("there is progress: %v; the table:\n%s", progress, r.out)
		}
	}
	d.tasks[1].Module = "scan"
	r := deputyRun(t, listen(t, d), setting{terminal: true, width: 80}, "ps")
	for n := range 3 {
		if !strings.Contains(r.out, fmt.Sprint("サイト", n)) {
			t.Errorf("task %d cannot be told from the others:\n%s", n, r.out)
		}
	}
}

// Nothing is left out in silence.
func TestPsShowsAll(t *testing.T) {
	d := newDaemon()
	for n := range 153 {
		d.tasks = append(d.tasks, task(n+1, deputy.Running, nil))
	}
	socket := listen(t, d)
	for _, args := range []string{"ps", "ps -q", "ps --json"} {
		r := deputyRun(t, socket, setting{}, strings.Fields(args)...)
		if n := strings.Count(r.out, "019af2c4-"); n != 153 || r.err != "" {
			t.Errorf("%s shows %d tasks of 153; it says %q", args, n, r.err)
		}
	}
	r := deputyRun(t, socket, setting{terminal: true}, "ps")
	if n := strings.Count(r.out, "\n"); n != 101 || !strings.Contains(r.err, "there are more") {
		t.Errorf("a terminal is shown %d lines, and told %q", n, r.err)
	}
	if r := deputyRun(t, socket, setting{terminal: true}, "ps", "-n", "153"); strings.Count(r.out, "\n") != 154 || r.err != "" {
		t.Errorf("asked for all: %d lines, %q", strings.Count(r.out, "\n"), r.err)
	}
}

// In a window that was made narrower the progress line stands on several lines, and
// goes from all of them.
func TestNarrowedWindow(t *testing.T) {
	var tty bytes.Buffer
	width := 60
	s := &screen{a: &app{out: &tty, err: &tty, outTerm: true, errTerm: true, width: 80, size: func() int { return width }}}
	s.setBar(strings.Repeat("b", 59))
	width = 25
	s.write(&tty, []byte("one\n"))
	if want := strings.Repeat("b", 59) + "\x1b[2A\r\x1b[Jone\n"; !strings.HasPrefix(tty.String(), want) {
		t.Errorf("got  %q\nwant %q", tty.String(), want)
	}
	if bar := s.progressBar(&deputy.Progress{Message: ptr(strings.Repeat("進", 50))}); screenWidth(bar) > 24 {
		t.Errorf("a bar of %d columns in a window of %d", screenWidth(bar), width)
	}
}

// What ps, events and new write is what the other verbs take.
func TestModuleAndActionInOneWord(t *testing.T) {
	for _, verb := range []string{"run", "call", "explain"} {
		d := newDaemon()
		d.answers["GET /v1/actions/scan/start"] = answer{200, startInfo}
		d.answers["POST /v1/actions/scan/start"] = answer{202, `{"tasks":[]}`}
		d.answers["POST /v1/explain/scan/start"] = answer{200, `{"allowed":true}`}
		r := deputyRun(t, listen(t, d), setting{}, verb, "scan/start", "ids=1", "note=a/b")
		if asked := d.saw("POST"); r.status != 0 || len(asked) != 1 || !strings.HasSuffix(asked[0], `/scan/start {"ids":[1],"note":"a/b"}`) {
			t.Errorf("%s asked %q\n%s", verb, asked, r)
		}
	}
	d := newDaemon()
	d.answers["GET /v1/actions"] = answer{200, `{"actions":[` + startInfo + `]}`}
	if r := deputyRun(t, listen(t, d), setting{}, "__complete", "run", "scan/s"); !strings.HasPrefix(r.out, "scan/start\t") {
		t.Error(r)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// What could not be said is no success.
func TestStdoutIsFull(t *testing.T) {
	d := several()
	d.answers["POST /v1/actions/scan/start"] = answer{202, `{"tasks":[{"id":"` + id(1) + `","action":"start","state":"running"}]}`}
	for _, args := range []string{"call scan start", "ps -a", "show 22222222", "status", "key new web --config " + t.TempDir(), "version", "--help"} {
		var said bytes.Buffer
		socket := listen(t, d)
		a := &app{in: strings.NewReader(""), out: full{}, err: &said, width: 80, uid: 4242, now: func() time.Time { return now },
			getenv: func(name string) string { return map[string]string{"DEPUTY_SOCKET": socket}[name] }}
		if status := a.report(run(t.Context(), a, strings.Fields(args))); status == 0 || !strings.Contains(said.String(), "no space left on device") {
			t.Errorf("%s: exit %d, %q", args, status, said.String())
		}
	}
}

func TestCompletionIsPlain(t *testing.T) {
	for _, args := range []string{"ps --", "run --", "events --", "call --p"} {
		r := deputyRun(t, "/nowhere", setting{}, append([]string{"__complete"}, strings.Fields(args)...)...)
		if strings.Contains(r.out, "`") || !strings.Contains(r.out, "--") {
			t.Errorf("%s: %s", args, r)
		}
	}
}

func TestStatusIsNotOkWhileNothingIsAccepted(t *testing.T) {
	for health, want := range map[string]string{
		`{"status":"refusing","refusing":"cannot accept: the disk is full"}`: "status     refusing: it answers, and takes nothing new: cannot accept: the disk is full\n",
		`{"status":"draining","draining":true}`:                              "status     draining: nothing new is taken; end it with: deputy drain --off\n",
	} {
		d := newDaemon()
		d.health = health
		if r := deputyRun(t, listen(t, d), setting{}, "status"); !strings.HasPrefix(r.out, want) {
			t.Error(r)
		}
	}
}

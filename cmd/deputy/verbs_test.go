package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deputy"
)

const startInfo = `{"module":"scan","action":"start","description":"Scan targets","params":{"type":"object","required":["ids"],
 "properties":{"ids":{"type":"array","items":{"type":"integer"}},"names":{"type":"array","items":{"type":"string"}},"fast":{"type":"boolean","default":false},
 "level":{"type":"integer"},"mode":{"type":"string","enum":["tcp","udp"],"description":"what is sent"},
 "note":{"type":"string","not":{"pattern":"[\\x00-\\x1f]"}},"text":{"type":"string","not":{"pattern":"\\x00"}}}}}`

// several is a daemon with tasks in many states.
func several() *daemon {
	d := newDaemon()
	failed := task(0x11111111, deputy.Failed, map[string]any{"id": 1, "note": "two words"})
	failed.Exit, failed.Reason = &deputy.Exit{Code: ptr(3)}, ptr("it exited with code 3")
	failed.Started, failed.Ended = &deputy.Time{Time: now.Add(-50 * 1e9)}, &deputy.Time{Time: now.Add(-40 * 1e9)}
	failed.StdoutBytes, failed.StdoutGap = 5000, &[2]int64{100, 900}
	stopped := task(0x22222222, deputy.Stopped, map[string]any{"id": 2})
	stopped.Stop = &deputy.Receipt{Signalled: true, Killed: 3, TookMS: 41, Empty: true, Proof: "cgroup"}
	stopped.Reason, stopped.Leftover = ptr("stopped by uid 4242"), ptr(0)
	running := task(0x33333333, deputy.Running, map[string]any{"id": 3})
	running.Progress, running.Lock = &deputy.Progress{Percent: ptr(42.5), Message: ptr("counting\x1b[31m")}, ptr("3")
	running.Joined, running.EndUser, running.Attempt = []deputy.Caller{"key:panel"}, ptr("alice"), 2
	alike := task(0x44333333, deputy.Queued, nil)
	alike.Caller = "key:panel"
	d.tasks = []*deputy.Task{failed, stopped, running, alike}
	d.stdout[failed.ID], d.stderr[failed.ID] = "one\ntwo\nthree\n", "oh\n"
	return d
}

func TestOutputs(t *testing.T) {
	tests := []struct {
		name string
		args string
		s    setting
	}{
		{"ps-pipe", "ps", setting{}},
		{"ps-terminal", "ps -a", setting{terminal: true}},
		{"ps-colour", "ps -a", setting{terminal: true, env: map[string]string{"NO_COLOR": ""}}},
		{"ps-quiet", "ps -q -a --limit 2", setting{}},
		{"ps-json", "ps --json --state running", setting{}},
		{"show-failed", "show 11111111", setting{}},
		{"show-stopped", "show 2222", setting{}},
		{"show-running", "show " + id(0x33333333), setting{}},
		{"show-newest", "show", setting{}},
		{"show-json", "show …22222222 --json", setting{}},
		{"show-ambiguous", "show 333333", setting{}},
		{"show-none", "show 99999999", setting{}},
		{"stop-receipt", "stop 22222222", setting{terminal: true}},
		{"stop-two", "stop 11111111 22222222", setting{}},
		{"stop-json", "stop --json 22222222", setting{}},
		{"stop-none", "stop --all --module other", setting{}},
		{"stop-all-json", "stop --all --caller key:panel --json", setting{}},
		{"stop-all-and-ids", "stop --all 11111111", setting{}},
		{"stop-filter-alone", "stop --module scan", setting{}},
		{"drain-off", "drain --off", setting{}},
		{"drain-refused", "drain", setting{}},
		{"wait-failed", "wait 11111111", setting{}},
		{"wait-timeout", "wait --timeout 20ms 33333333 --json", setting{}},
		{"logs", "logs 11111111", setting{}},
		{"logs-lines", "logs -n 2 11111111", setting{}},
		{"logs-stderr", "logs --stderr 11111111", setting{}},
		{"logs-json", "logs --json 11111111 -n 1", setting{}},
		{"logs-since", "logs --since 1h", setting{}},
		{"actions", "actions", setting{}},
		{"actions-terminal", "actions", setting{terminal: true}},
		{"actions-one", "actions scan start", setting{}},
		{"actions-json", "actions scan --json", setting{}},
		{"explain-denied", "explain --as uid:33 scan start ids=1", setting{}},
		{"explain-json", "explain scan start --json", setting{}},
		{"reload", "reload", setting{}},
		{"upgrade-refused", "upgrade", setting{}},
		{"status", "status", setting{}},
		{"status-json", "status --json", setting{}},
		{"events", "events --from 1 -n 4", setting{}},
		{"events-json", "events -n 1 --json --type ended", setting{}},
		{"complete-module", "__complete run s", setting{}},
		{"complete-action", "__complete run scan s", setting{}},
		{"complete-param", "__complete run scan start mode=tcp l", setting{}},
		{"complete-value", "__complete run scan start mode=", setting{}},
		{"complete-id", "__complete stop 3", setting{}},
		{"complete-state", "__complete ps --state ru", setting{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := several()
			d.answers = map[string]answer{
				"GET /v1/actions":             {200, `{"actions":[` + startInfo + `]}`},
				"GET /v1/actions/scan/start":  {200, startInfo},
				"POST /v1/reload":             {200, `{"digest":"abc123"}`},
				"POST /v1/drain":              {200, `{"draining":false,"live":2}`},
				"POST /v1/upgrade":            {422, `{"code":"bad_param","detail":"cannot upgrade, the old programs go on: /usr/sbin/deputyd cannot start: exec format error"}`},
				"POST /v1/explain/scan/start": {200, explained},
				"GET /v1/events":              {200, stream},
			}
			d.health = `{"status":"ok","version":"1.2.3","proof":"subreaper","weakness":"a task may escape; run deputy in a scope of its own","state_dir":"/s","config_dir":"/c","policy":"abc"}`
			if test.name == "drain-refused" {
				d.answers["POST /v1/drain"] = answer{403, `{"code":"not_allowed","detail":"uid 33 (www-data) may not drain: only an operator may"}`}
			}
			socket := listen(t, d)
			text := deputyRun(t, socket, test.s, strings.Fields(test.args)...).String()
			golden(t, test.name+".txt", strings.ReplaceAll(text, socket, "SOCKET"))
		})
	}
}

const explained = `{"allowed":false,"reason":"no rule allows it","denied":[{"rule":"site.toml:7","reason":"the user is not www-data"}],
"tasks":[{"argv":["/bin/scan","-t","1"," x"],"user":"scanner","directory":"/","env":["LANG=C.UTF-8"],"lock":"1"}],"timeout_ms":7200000,"start_within_ms":600000,"grace_ms":10000,"output_cap":8388608}`

var stream = `id: 1
data: {"seq":1,"time":"2026-01-02T03:04:05.000Z","type":"policy","policy":"0123456789abcdef"}

id: 2
data: {"seq":2,"time":"2026-01-02T03:04:05.000Z","type":"accepted","caller":"key:panel","end_user":"alice","module":"service","action":"restart","rule":"site.toml:7","tasks":[{"id":"` + id(7) + `","params":{"unit":"nginx.service"}}]}

id: 3
data: {"seq":3,"time":"2026-01-02T03:04:05.000Z","type":"denied","caller":"key:web","module":"service","action":"stop","code":"not_allowed","reason":"no rule allows it"}

id: 4
data: {"seq":4,"time":"2026-01-02T03:04:05.000Z","type":"ended","task":"` + id(7) + `","attempt":1,"state":"failed","exit":{"code":3},"leftover":2,"reason":"it exited with code 3"}

`

// The daemon's refusals, each as one clear message.
func TestRefusalsInWords(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
		want       string
	}{
		{"not allowed", `{"code":"not_allowed","detail":"uid 33 (www-data) may not call scan/start; the administrator sees why with: deputy explain --as www-data scan start"}`, 403,
			"deputy: not allowed: uid 33 (www-data) may not call scan/start; the administrator sees why with: deputy explain --as www-data scan start\n"},
		{"bad param", `{"code":"bad_param","detail":"cannot call scan/start","errors":[{"param":"ids","detail":"is missing"},{"param":"x","detail":"is not known"}]}`, 422,
			"deputy: bad parameter: cannot call scan/start\n  ids: is missing\n  x: is not known\n"},
		{"rate", `{"code":"rate_limited","detail":"too many","retry_after":2,"rule":"site.toml:7"}`, 429,
			"deputy: rate limited: too many\nask again in 2 s\ndecided by site.toml:7\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newDaemon()
			d.answers["POST /v1/actions/scan/start"] = answer{test.status, test.body}
			socket := listen(t, d)
			for verb, status := range map[string]int{"run": 125, "call": 1} {
				r := deputyRun(t, socket, setting{}, verb, "scan", "start")
				if r.status != status || r.err != test.want || r.out != "" {
					t.Errorf("%s: %s", verb, r)
				}
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "deputy")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"flag", nil, []string{"--socket", "/none/a"}, "\n  /none/a: no such file or directory\n"},
		{"environment", map[string]string{"DEPUTY_SOCKET": "/none/b"}, nil, "\n  /none/b: no such file or directory\n"},
		{"searched", map[string]string{"DEPUTY_SOCKET": "", "XDG_RUNTIME_DIR": dir}, nil,
			"\n  " + dir + "/deputy/deputy.sock: no such file or directory\n  /run/deputy/deputy.sock: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := deputyRun(t, "", setting{env: test.env}, append(test.args, "ps")...)
			if r.status != 1 || !strings.Contains(r.err, "looked for its socket at"+test.want) || !strings.Contains(r.err, "start one with: deputy up") {
				t.Error(r)
			}
		})
	}
	t.Run("of another user", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(foreign, "deputy.sock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r := deputyRun(t, "", setting{uid: os.Getuid() + 1, env: map[string]string{"DEPUTY_SOCKET": "", "XDG_RUNTIME_DIR": dir}}, "ps")
		if !strings.Contains(r.err, foreign+"/deputy.sock: belongs to another user\n") {
			t.Error(r)
		}
	})
}

func TestValuesHaveTheirDeclaredType(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args []string
		in   string
		want string
	}{
		{[]string{"ids=1", "ids=2"}, "", `{"ids":[1,2]}`},
		{[]string{"ids=9007199254740993"}, "", `{"ids":[9007199254740993]}`},
		{[]string{"ids=[1, 2]"}, "", `{"ids":["[1, 2]"]}`}, // one text, which is no integer
		{[]string{"names=[\"a\",\"b\"]", "names=[]"}, "", `{"names":["[\"a\",\"b\"]","[]"]}`},
		{[]string{"ids=one"}, "", `{"ids":["one"]}`},
		{[]string{"level=1e2", "fast=true", "mode=5"}, "", `{"fast":true,"level":1e2,"mode":"5"}`},
		{[]string{"level=high", "fast=yes", "other=1"}, "", `{"fast":"yes","level":"high","other":"1"}`},
		{[]string{"note=@" + file, "text=@" + file}, "", `{"note":"line","text":"line\n"}`},
		{[]string{"note=@-"}, "typed\n", `{"note":"typed"}`},
		{[]string{"note=@@home", "mode="}, "", `{"mode":"","note":"@home"}`},
		{[]string{"note=a=b"}, "", `{"note":"a=b"}`},
		{[]string{"--params", `{"ids":[1],"ids":[2]}`}, "", `{"ids":[1],"ids":[2]}`},
		{[]string{"--params", "-"}, `{"x":1}`, `{"x":1}`},
		{nil, "", `{}`},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			d := newDaemon()
			d.answers["GET /v1/actions/scan/start"] = answer{200, startInfo}
			d.answers["POST /v1/actions/scan/start"] = answer{202, `{"tasks":[]}`}
			r := deputyRun(t, listen(t, d), setting{in: test.in}, append([]string{"call", "scan", "start"}, test.args...)...)
			asked := d.saw("POST")
			if want := "POST /v1/actions/scan/start " + test.want; r.status != 0 || len(asked) != 1 || asked[0] != want {
				t.Errorf("asked %q\nwant %q\n%s", asked, want, r)
			}
		})
	}
}

// An action that I may not use has no schema for me; the request itself is
// then refused with the reason, and the refusal is recorded.
func TestDeniedActionIsAskedForAllTheSame(t *testing.T) {
	d := newDaemon()
	d.answers["GET /v1/actions/scan/start"] = answer{404, `{"code":"unknown_action","detail":"cannot show it"}`}
	d.answers["POST /v1/actions/scan/start"] = answer{403, `{"code":"not_allowed","detail":"because"}`}
	r := deputyRun(t, listen(t, d), setting{}, "run", "scan", "start", "level=1")
	if r.status != 125 || r.err != "deputy: not allowed: because\n" {
		t.Error(r)
	}
}

func TestCall(t *testing.T) {
	two := fmt.Sprintf(`{"tasks":[{"id":%q,"action":"start","state":"running"},{"id":%q,"action":"start","state":"running"}]}`, id(1), id(2))
	over := fmt.Sprintf(`{"tasks":[{"id":%q,"action":"start","state":"failed","ended":"2026-01-02T03:04:05.000Z","exit":{"code":7},"reason":"it exited with code 7"}]}`, id(1))
	halted := fmt.Sprintf(`{"tasks":[{"id":%q,"action":"other","state":"stopped","ended":"2026-01-02T03:04:05.000Z","stop":{"signalled":true,"killed":0,"took_ms":5,"empty":true,"proof":"cgroup"}}]}`, id(1))
	going := fmt.Sprintf(`{"tasks":[{"id":%q,"action":"other","state":"stopping"}]}`, id(1))
	tests := []struct {
		name, body string
		s          setting
		args       []string
		status     int
		out        string
	}{
		{"pipe", two, setting{}, nil, 0, id(1) + "\n" + id(2) + "\n"},
		{"terminal", two, setting{terminal: true}, nil, 0, "00000001\n00000002\n"},
		{"waited, still lives", two, setting{terminal: true}, []string{"--wait", "1s"}, 125, "00000001 running\n00000002 running\n"},
		{"waited, failed", over, setting{terminal: true}, []string{"--wait", "1s"}, 7, "00000001 failed: it exited with code 7\n"},
		{"an action that stops", halted, setting{terminal: true}, nil, 0, "stopped 00000001: stop signal sent, nothing lives (proof: cgroup), 5 ms\n"},
		{"a stop that goes on", going, setting{terminal: true}, nil, 0, "stopping 00000001; for its receipt: deputy stop 00000001\n"},
		{"nothing to stop", `{"tasks":[]}`, setting{}, nil, 0, "nothing to stop: no such task lives\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newDaemon()
			d.answers["POST /v1/actions/scan/start"] = answer{http.StatusAccepted, test.body}
			r := deputyRun(t, listen(t, d), test.s, append([]string{"call", "scan", "start"}, test.args...)...)
			if r.status != test.status || r.out != test.out || r.err != "" {
				t.Error(r)
			}
		})
	}
}

func TestStatusWaitsForTheDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "late.sock")
	go func() {
		d := newDaemon()
		if err := http.Serve(lateListener(socket), d); err != nil && t.Context().Err() == nil {
			t.Log(err)
		}
	}()
	if r := deputyRun(t, socket, setting{}, "status", "--timeout", "10s"); r.status != 0 || !strings.Contains(r.out, "version    1.2.3\n") {
		t.Error(r)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := deputyRun(t, listen(t, newDaemon()), setting{ctx: ctx}, "ps"); r.status != statusInterrupted || r.err != "" {
		t.Error(r)
	}
}

//go:build linux

package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// A panel (uid 3) asks for alice and bob; uid 2 and a key are other callers, and a
// rule lets uid 4 read.
const joinConfig = `
[server]
user = "daemon"
name = "gate1"
[user.sys]
names_end_user = true
`

const joinModule = `
user = "root"
[[allow]]
users = ["uid:2", "uid:3"]
keys = ["panel"]
[[allow]]
users = ["uid:4"]
read = true

[action.work]
lock = "{key}"
params.key = { type = "string" }
command = ["/bin/sh", "-c", 'echo "says $1"; echo "complains of $1" >&2; read line <"$0"; exit 3', "WORK/gate", "{key}"]
`

const theKey = "alices-value"

func joinDeputy(t *testing.T) (*rig.Deputy, addresses, gate) {
	t.Helper()
	rig.NeedRoot(t)
	config := strings.Replace(network, "[server]\nname = \"gate1\"\n", joinConfig, 1)
	d, a := beginNetwork(t, joinModule, rig.Files{"deputy.toml": config}, "--installed")
	return d, a, newGate(t, filepath.Join(d.Work, "gate"))
}

// asker is one who asks over HTTP, on the socket or over TCP, for somebody or nobody.
type asker struct {
	name   string
	do     func(method, path, body string, header ...string) rig.Answer
	hidden []string // what no answer may hold
}

func (d asker) call(query string) rig.Answer {
	return d.do("POST", "/v1/actions/m/work"+query, `{"key":"`+theKey+`"}`)
}

// joiners are those who ask for what alice has asked for through the panel.
func joiners(t *testing.T, d *rig.Deputy, a addresses) []asker {
	panel, other, key := d.As(3), d.As(2), as(t, a, "panel")
	bob := func(method, path, body string, header ...string) rig.Answer {
		return panel.Do(method, path, body, append(header, "Deputy-End-User", "bob")...)
	}
	values := []string{theKey, "says", "complains"}
	return []asker{
		{"bob through the same panel", bob, append(values, "alice")},
		{"another caller", other.Do, append(values, "alice", "uid:3")},
		{"a key over TCP", key.do, append(values, "alice", "uid:3")},
	}
}

// null are the members of a Task that an outline keeps back.
var null = []string{"params", "lock", "caller", "joined", "end_user", "progress", "stdout_bytes", "stderr_bytes", "stdout_gap", "stderr_gap", "stdout_rewritten", "stderr_rewritten",
	"waiting", "attempts", "result", "usage", "confirm", "approval", "again_of", "why", "traceparent"}

// outlined reads an answer that shows a task's outline, alone or in a list.
func (who asker) outlined(t *testing.T, what string, a rig.Answer, status int) (deputy.Task, map[string]any) {
	t.Helper()
	who.tellsNothing(t, what, a.Body)
	var list struct{ Tasks []json.RawMessage }
	a.Read(t, status, &list)
	text := json.RawMessage(a.Body)
	if len(list.Tasks) > 0 {
		text = list.Tasks[0]
	}
	var task deputy.Task
	var members map[string]any
	if err := errors.Join(json.Unmarshal(text, &task), json.Unmarshal(text, &members)); err != nil {
		t.Fatalf("%s, %s: %v in %s", who.name, what, err, a.Body)
	}
	for _, name := range null {
		if value, there := members[name]; !there || value != nil {
			t.Errorf("%s, %s: %s is %v, there %v", who.name, what, name, value, there)
		}
	}
	return task, members
}

func (who asker) tellsNothing(t *testing.T, what string, text []byte) {
	t.Helper()
	for _, word := range who.hidden {
		if bytes.Contains(text, []byte(word)) {
			t.Errorf("%s, %s: it holds %q: %s", who.name, what, word, text)
		}
	}
}

// Who joins what another party asked for sees its state, its times and its end, and
// nothing else, wherever it looks; and this is so after a restart, too.
func TestWhoJoinsAnothersTaskSeesAnOutline(t *testing.T) {
	d, a, g := joinDeputy(t)
	panel := d.As(3)
	alice := []string{"Deputy-End-User", "alice"}
	task := panel.Started("m/work", `{"key":"`+theKey+`"}`, alice...)
	running(t, panel, task.ID)
	all := joiners(t, d, a)
	for _, who := range all {
		if given, _ := who.outlined(t, "its answer", who.call(""), 202); given.ID != task.ID || given.State != deputy.Running || given.Started == nil {
			t.Errorf("%s is given %+v", who.name, given)
		}
		keyed := []string{"Idempotency-Key", "once"}
		for range 2 { // the second is a replay
			who.outlined(t, "with a key", who.do("POST", "/v1/actions/m/work", `{"key":"`+theKey+`"}`, keyed...), 202)
		}
		_, members := who.outlined(t, "with output", who.call("?output=100"), 202)
		for _, name := range []string{"stdout", "stderr", "truncated"} {
			if value, there := members[name]; !there || value != nil {
				t.Errorf("%s: %s is %v, there %v", who.name, name, value, there)
			}
		}
		who.looksAround(t, task.ID)
	}
	message := "module: m\naction: work\nkey: " + theKey + "\n\n"
	if got := exchange(t, a.line, line("panel", secrets["panel"], message)); got != `{"success": true, "msg": "work ok", "tasks": ["`+task.ID+"\"]}\n" {
		t.Errorf("by 'Key: Value': %s", got)
	}
	d.Stop()
	if err := os.RemoveAll(filepath.Join(d.State, "server")); err != nil {
		t.Fatal(err)
	}
	d.Start()
	rig.Eventually(t, 30*time.Second, "what is signed now is taken", func() bool { return all[2].do("GET", "/v1/tasks", "").Status == 200 })
	for _, who := range all {
		who.looksAround(t, task.ID)
	}
	ended := make(chan rig.Answer, len(all))
	for _, who := range all {
		go func() { ended <- who.do("GET", "/v1/tasks/"+task.ID+"?wait=30", "") }()
	}
	g.open()
	for range all {
		<-ended
	}
	for _, who := range all {
		end, _ := who.outlined(t, "its end", who.do("GET", "/v1/tasks/"+task.ID+"?wait=30", ""), 200)
		if end.State != deputy.Failed || end.Exit == nil || end.Exit.Code == nil || *end.Exit.Code != 3 || reason(end) != "it exited with code 3" || end.Ended == nil {
			t.Errorf("%s sees the end %+v", who.name, end)
		}
		who.looksAround(t, task.ID)
		who.readsEvents(t, d, task.ID)
	}
	// Alice, and the panel in nobody's name, see it whole.
	for _, name := range [][]string{alice, nil} {
		var whole deputy.Task
		panel.Do("GET", "/v1/tasks/"+task.ID, "", name...).Read(t, 200, &whole)
		if whole.Caller != "uid:3" || whole.EndUser == nil || *whole.EndUser != "alice" || whole.Params["key"] != theKey || whole.StdoutBytes == 0 {
			t.Errorf("whose it is sees %+v", whole)
		}
	}
}

// looksAround tries what else could show more.
func (who asker) looksAround(t *testing.T, id string) {
	t.Helper()
	path := "/v1/tasks/" + id
	who.outlined(t, "the task", who.do("GET", path, ""), 200)
	who.outlined(t, "the list", who.do("GET", "/v1/tasks", ""), 200)
	for _, filter := range []string{"lock=" + theKey, "caller=uid:3", "end_user=alice"} {
		if a := who.do("GET", "/v1/tasks?"+filter, ""); strings.Contains(string(a.Body), id) {
			t.Errorf("%s finds it by %s: %s", who.name, filter, a.Body)
		}
	}
	for _, stream := range []string{"/stdout", "/stderr"} {
		for _, query := range []string{"", "?follow=1", "?offset=0&wait=1"} {
			a := who.do("GET", path+stream+query, "")
			a.Refused(t, 403, deputy.NotAllowed)
			who.tellsNothing(t, stream+query, a.Body)
		}
		a := who.do("GET", path+stream, "", "Accept", "text/event-stream")
		a.Refused(t, 403, deputy.NotAllowed)
		who.tellsNothing(t, stream+" as events", a.Body)
		if head := who.do("HEAD", path+stream, ""); head.Status != 403 || head.Header.Get("Content-Length") == "" {
			t.Errorf("%s: HEAD %s: %d", who.name, stream, head.Status)
		}
	}
	if stop := who.do("POST", path+"/stop", `{"grace":"0s"}`); stop.Status == 200 { // an ended one answers as it is
		who.outlined(t, "a stop", stop, 200)
	} else {
		stop.Refused(t, 403, deputy.NotAllowed)
		who.tellsNothing(t, "a stop", stop.Body)
	}
}

// readsEvents reads what the journal shows up to the task's end.
func (who asker) readsEvents(t *testing.T, d *rig.Deputy, id string) {
	t.Helper()
	if who.name == "a key over TCP" { // its stream has no end that a plain answer could have
		return
	}
	c := d.As(2)
	header := []string{}
	if strings.HasPrefix(who.name, "bob") {
		c, header = d.As(3), []string{"Deputy-End-User", "bob"}
	}
	stream := c.Stream("/v1/events", append(header, "Last-Event-ID", "0")...)
	defer stream.Close()
	kinds := map[deputy.EventType]bool{}
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		data, isData := strings.CutPrefix(lines.Text(), "data: ")
		if !isData {
			continue
		}
		who.tellsNothing(t, "the events", []byte(data))
		var e deputy.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		if kinds[e.Type] = true; e.Type == deputy.Ended && e.Task == id {
			if e.Exit == nil || *e.Exit.Code != 3 || e.Out != nil {
				t.Errorf("%s sees the end %s", who.name, data)
			}
			break
		}
	}
	if !kinds[deputy.Accepted] || !kinds[deputy.Started] || !kinds[deputy.Ended] {
		t.Errorf("%s sees %v", who.name, kinds)
	}
}

// A rule that lets read shows a joined task whole.
func TestWhoMayReadSeesWhatItJoinsWhole(t *testing.T) {
	d, _, g := joinDeputy(t)
	task := d.As(2).Started("m/work", `{"key":"`+theKey+`"}`)
	ready(t, d.As(2), task.ID)
	reader := d.As(4)
	if joined := reader.Started("m/work", `{"key":"`+theKey+`"}`); joined.ID != task.ID || joined.Caller != "uid:2" || joined.Params["key"] != theKey {
		t.Errorf("joined: %+v", joined)
	}
	if out := reader.Stdout(task.ID); out != "says "+theKey+"\n" {
		t.Errorf("stdout: %q", out)
	}
	g.open()
	reader.Ended(task.ID)
}

// Who may stop what another asked for is told how it ended, and no more.
func TestWhoStopsAnothersTaskSeesAnOutline(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, `
user = "root"
[[allow]]
users = ["uid:2"]
[[allow]]
users = ["uid:4"]
actions = ["end"]
[[allow]]
users = ["uid:5"]
actions = ["work"]
stop = true
[action.work]
lock = "{key}"
params.key = { type = "string" }
command = ["/bin/sleep", "1000", "{key}"]
grace = "0s"
[action.end]
stops = "work"
lock = "{key}"
params.key = { type = "string" }
`, rig.Files{"deputy.toml": installed}, "--installed")
	const key = `{"key":"0"}`
	hidden := []string{"uid:2", `"0"`}
	owner, byRule, byAction := d.As(2), asker{"by a rule", d.As(5).Do, hidden}, asker{"by an action", d.As(4).Do, hidden}
	first := owner.Started("m/work", key)
	running(t, owner, first.ID)
	byRule.do("GET", "/v1/tasks/"+first.ID, "").Refused(t, 404, deputy.UnknownTask)
	if stopped, _ := byRule.outlined(t, "its receipt", byRule.do("POST", "/v1/tasks/"+first.ID+"/stop", ""), 200); stopped.State != deputy.Stopped || stopped.Stop == nil || !stopped.Stop.Empty {
		t.Errorf("stopped by a rule: %+v", stopped)
	}
	second := owner.Started("m/work", key)
	running(t, owner, second.ID)
	byAction.do("GET", "/v1/tasks/"+second.ID, "").Refused(t, 404, deputy.UnknownTask)
	if stopped, _ := byAction.outlined(t, "its receipt", byAction.do("POST", "/v1/actions/m/end?wait=30&output=9", key), 200); stopped.ID != second.ID || stopped.State != deputy.Stopped || stopped.Stop == nil {
		t.Errorf("stopped by an action: %+v", stopped)
	}
	if seen := owner.Task(second.ID); seen.Params["key"] != "0" || !strings.Contains(reason(seen), "uid:4") {
		t.Errorf("whose it was sees %+v, %q", seen, reason(seen))
	}
}

// The command line says that the output of a joined task is not shown, and ends as
// the task does.
func TestRunOfAJoinedTask(t *testing.T) {
	d, _, g := joinDeputy(t)
	task := d.As(3).Started("m/work", `{"key":"`+theKey+`"}`)
	running(t, d.As(3), task.ID)
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(d.Work, "deputy.sh")
	text, err := os.ReadFile(filepath.Join(root, "clients/shell/deputy.sh"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, text, 0o755); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("/bin/sh", script, "run", "m", "work", "key="+theKey)
	shell.Env = append(os.Environ(), "DEPUTY_ADDRESS="+d.Socket)
	type result struct {
		name string
		text string
		code int
	}
	results := make(chan result, 2)
	for name, cmd := range map[string]*exec.Cmd{"deputy run": d.Command("run", "m", "work", "key="+theKey), "deputy.sh run": shell} {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 2, Gid: 2, Groups: []uint32{}}}
		cmd.Dir = "/"
		go func() {
			out, _ := cmd.CombinedOutput()
			results <- result{name, string(out), cmd.ProcessState.ExitCode()}
		}()
	}
	rig.Eventually(t, time.Minute, "both have joined", func() bool { return len(d.Events(deputy.Accepted)) >= 3 })
	g.open()
	for range 2 {
		r := <-results
		if r.code != 3 || !strings.Contains(r.text, "not shown") || strings.Contains(r.text, theKey) {
			t.Errorf("%s ends with %d: %s", r.name, r.code, r.text)
		}
	}
}

// Of a lock whose holder has sensitive values another party learns no more than
// that it is held: it could try values until it is given the task.
func TestASecretIsNotFoundByJoining(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, `
user = "root"
[allow]
users = ["uid:2", "uid:3"]
[action.login]
lock = "{who}"
params.who = { type = "string" }
params.pin = { type = "string", sensitive = true }
command = ["/bin/sh", "-c", 'cat; exec sleep 1000', "login", "{who}"]
stdin = "{pin}"
grace = "0s"
`, rig.Files{"deputy.toml": installed + "[user.sys]\nnames_end_user = true\n"}, "--installed")
	panel := d.As(3)
	alice, bob := []string{"Deputy-End-User", "alice"}, []string{"Deputy-End-User", "bob"}
	pin := func(n int) string { return fmt.Sprintf(`{"who":"x","pin":"%04d"}`, n) }
	task := panel.Started("m/login", pin(271828182845), alice...)
	for _, stage := range []string{"at once", "after a restart"} {
		if stage != "at once" {
			d.Stop()
			d.Start()
		}
		for n := 1224; n < 1244; n++ {
			for name, a := range map[string]rig.Answer{
				"bob": panel.Call("m/login", pin(n), bob...), "nobody": panel.Call("m/login", pin(n)), "another": d.As(2).Call("m/login", pin(n)),
			} {
				if e := a.Refused(t, 409, deputy.Busy); e.Task != "" || strings.Contains(string(a.Body), task.ID) {
					t.Fatalf("%s, %s, %d: %s", stage, name, n, a.Body)
				}
			}
		}
		if again := panel.Started("m/login", pin(271828182845), alice...); again.ID != task.ID {
			t.Errorf("%s the same party is given %s, not %s", stage, again.ID, task.ID)
		}
		if e := panel.Call("m/login", pin(1235), alice...).Refused(t, 409, deputy.Busy); e.Task != task.ID {
			t.Errorf("%s another value of the same party: %+v", stage, e)
		}
	}
	// Equal secrets show nothing equal: neither their seals nor the digests of their requests.
	keyed := func(who, key string) string { return text(`{"who":"%s","pin":"271828182845"}`, who) }
	seals := []string{task.Params["pin"].(string)}
	for _, who := range []string{"y", "z"} {
		seals = append(seals, panel.Started("m/login", keyed(who, who), "Idempotency-Key", "k-"+who).Params["pin"].(string))
	}
	panel.Stop(panel.Started("m/login", keyed("y", ""), "Idempotency-Key", "k-again").ID, "")
	seals = append(seals, panel.Started("m/login", keyed("y", ""), "Idempotency-Key", "k-once-more").Params["pin"].(string))
	for _, e := range d.Events(deputy.Accepted) {
		if e.Key != nil {
			seals = append(seals, e.Key.Digest)
		}
	}
	slices.Sort(seals)
	if distinct := slices.Compact(slices.Clone(seals)); len(distinct) != len(seals) || len(seals) != 8 {
		t.Errorf("seals and digests of one secret: %v", seals)
	}
	if log := d.Log(); strings.Contains(log, "271828182845") || strings.Contains(log, "hmac") {
		t.Errorf("the log tells of it:\n%s", log)
	}
}

package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/manifest/schema"
	"deputy/internal/monitor/manifest/template"
)

var everything = manifest.Rule{Actions: []string{"*"}, UIDs: []uint32{33}, Users: []string{"www-data"}}

// TestLaunch compares a task's whole environment, as DESIGN section 4 lists it.
func TestLaunch(t *testing.T) {
	p := fixture(t)
	a := p.set.Modules["service"].Actions["restart"]
	a.StdinFile = &manifest.StdinFile{Path: text(t, "/srv/{unit}"), Under: "/srv"}
	got, err := Launch(a, map[string]any{"unit": "x", "tries": json.Number("3")}, nil,
		Context{Task: "0190c0de", Attempt: 2, Caller: "uid:33", EndUser: "alice", NotifySocket: "/run/n"})
	if err != nil {
		t.Fatal(err)
	}
	want := &Process{
		Argv: []string{"/usr/bin/systemctl", "restart", "x"},
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "HOME=/var/scan",
			"USER=scanner", "LOGNAME=scanner", "SHELL=/bin/sh", "DEPUTY_CALLER=uid:33", "TRIES=3", "DEPUTY_NOTIFY_SOCKET=/run/n",
			"DEPUTY_TASK=0190c0de", "DEPUTY_MODULE=service", "DEPUTY_ACTION=restart", "DEPUTY_END_USER=alice", "DEPUTY_ATTEMPT=2",
		},
		Dir: "/", StdinFile: &File{"/srv", "x"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	a.SDNotify = true
	if got, err = Launch(a, map[string]any{"unit": "x", "tries": int64(1)}, nil, Context{NotifySocket: "/run/n"}); err != nil ||
		!slices.Contains(got.Env, "NOTIFY_SOCKET=/run/n") || !slices.Contains(got.Env, "DEPUTY_NOTIFY_SOCKET=/run/n") {
		t.Errorf("%+v, %v", got, err)
	}
	a.Stdin = text(t, "")
	got, err = Launch(a, map[string]any{"unit": "x", "tries": int64(1)}, nil, Context{})
	if err != nil || got.Stdin == nil || strings.Contains(strings.Join(got.Env, "\n"), "NOTIFY_SOCKET") {
		t.Errorf("%+v, %v", got, err)
	}
	for want, params := range map[string]map[string]any{
		"cannot start service/restart: tries must be an integer of at least 1, not 0": {"unit": "x", "tries": json.Number("0")},
		"cannot start service/restart: old is not declared any more":                  {"unit": "x", "tries": int64(1), "old": "x"},
		"cannot start service/restart: unit has no value":                             {"tries": int64(1)},
	} {
		if _, err := Launch(a, params, nil, Context{}); err == nil || err.Error() != want {
			t.Errorf("%v: %v\n\twant %s", params, err, want)
		}
	}
	if _, err := Launch(p.set.Modules["scan"].Actions["stop"], nil, nil, Context{}); err == nil {
		t.Error("a stops action was launched")
	}
}

// TestOpenedFiles: descriptors follow the order of the declarations, whatever
// that of the command, and a file that no argument names is not opened.
func TestOpenedFiles(t *testing.T) {
	path := func(name, under string) *schema.Param {
		return &schema.Param{Name: name, Type: "string", Formats: []string{"path"}, Under: under, File: true, Optional: name != "to"}
	}
	a := action(t, "db", "load", []*schema.Param{path("from", "/srv/in"), path("to", "/"), path("log", "/var/log/db"), {Name: "n", Type: "integer", Optional: true}},
		"/usr/bin/load", "--to={to}", []any{"--log", "{log}", "{n}"}, []any{"--from", "{from}", "{from}"})
	a.Opened = []manifest.OpenedFile{{Param: "from", Under: "/srv/in"}, {Param: "log", Under: "/var/log/db"}, {Param: "to", Under: "/"}}
	a.Env = map[string]*template.Text{"NAME": text(t, "{to}")}
	for _, c := range []struct {
		params map[string]any
		argv   string
		files  []File
	}{
		{map[string]any{"to": "/etc/x"}, "/usr/bin/load --to=/dev/fd/3", []File{{"/", "etc/x"}}},
		{map[string]any{"to": "/x", "from": "/srv/in/a/b", "log": "/var/log/db/l"}, "/usr/bin/load --to=/dev/fd/4 --from /dev/fd/3 /dev/fd/3",
			[]File{{"/srv/in", "a/b"}, {"/", "x"}}},
		{map[string]any{"to": "/x", "log": "/var/log/db/var/log/db", "n": int64(1)}, "/usr/bin/load --to=/dev/fd/4 --log /dev/fd/3 1",
			[]File{{"/var/log/db", "var/log/db"}, {"/", "x"}}},
	} {
		got, err := Launch(a, c.params, nil, Context{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.files, got.Files); d != "" || strings.Join(got.Argv, " ") != c.argv {
			t.Errorf("%v: %q\n%s", c.params, got.Argv, d)
		}
		if want := "NAME=" + c.params["to"].(string); !slices.Contains(got.Env, want) {
			t.Errorf("%s is not in the environment: %q", want, got.Env)
		}
	}
	if _, err := Launch(a, map[string]any{"to": "/srv/../etc/shadow"}, nil, Context{}); err == nil {
		t.Error("a path with .. was launched")
	}
}

// TestJournal: what went through the journal's JSON launches the same.
func TestJournal(t *testing.T) {
	p := fixture(t, rule(1, everything))
	plan, refusal := p.Admit(www, "scan", "start", deputy.Params{"task_ids": []any{deputy.Number("9007199254740993")}})
	if refusal != nil {
		t.Fatal(refusal)
	}
	line, err := json.Marshal(plan.Items[0].Params)
	if err != nil {
		t.Fatal(err)
	}
	var params deputy.Params
	if err := json.Unmarshal(line, &params); err != nil {
		t.Fatal(err)
	}
	got, err := Launch(plan.Action, params, nil, Context{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"/opt/scan", "-t", "9007199254740993"}, got.Argv); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if _, where, refusal := p.Recheck(www, "scan", "start", params); where != "site.toml:1" || refusal != nil {
		t.Errorf("Recheck: %s, %v", where, refusal)
	}
	narrow := fixture(t, rule(2, manifest.Rule{Actions: []string{"scan/*"}, UIDs: []uint32{33}, Where: map[string][]any{"task_ids": {int64(1)}}}))
	for what, c := range map[string]struct {
		p      *Policy
		module string
		params deputy.Params
		want   deputy.Code
	}{
		"no rule any more":    {fixture(t), "scan", params, deputy.NotAllowed},
		"other values now":    {narrow, "scan", params, deputy.NotAllowed},
		"no module any more":  {p, "gone", params, deputy.UnknownAction},
		"a param is gone":     {p, "scan", deputy.Params{"old": "x"}, deputy.BadParam},
		"a value is bad now":  {p, "scan", deputy.Params{"task_id": deputy.Number("-10")}, deputy.BadParam},
		"a value is confined": {narrow, "scan", deputy.Params{"task_id": deputy.Number("2")}, deputy.NotAllowed},
	} {
		if _, _, refusal := c.p.Recheck(www, c.module, "start", c.params); refusal == nil || refusal.Code != c.want {
			t.Errorf("%s: %v, want %s", what, refusal, c.want)
		}
	}
	if _, where, refusal := narrow.Recheck(www, "scan", "start", deputy.Params{"task_id": deputy.Number("1")}); where != "site.toml:2" || refusal != nil {
		t.Errorf("Recheck of a confined value: %s, %v", where, refusal)
	}
}

func TestActions(t *testing.T) {
	p := fixture(t,
		rule(1, manifest.Rule{Actions: []string{"scan/*"}, UIDs: []uint32{33}, Where: map[string][]any{"task_ids": {int64(1)}}}),
		rule(2, manifest.Rule{Actions: []string{"mail/send"}, Keys: []string{"panel"}, EndUsers: []string{"alice"}}))
	got, err := json.MarshalIndent(p.Actions(www), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"action": "start"`, `"for_each": "task_id in task_ids"`, `"lock": "{task_id}"`, `"on_busy": "join"`, `"stops": "start"`,
		`"timeout_ms": 7200000`, `"additionalProperties": false`, `"maxItems": 100`, "\"required\": [\n    \"task_ids\"\n   ]"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s does not stand in\n%s", want, got)
		}
	}
	for _, c := range []struct {
		id   Identity
		want string
	}{
		{www, "scan/start scan/stop"}, {nobody, ""}, {root, ""}, {panel, "mail/send"}, {panel.as("alice"), "mail/send"}, {panel.as("bob"), ""},
		{staff, "service/restart service/status"}, {staff.as("bob"), "service/status"},
	} {
		var names []string
		for _, info := range p.Actions(c.id) {
			names = append(names, info.Module+"/"+info.Action)
		}
		if s := strings.Join(names, " "); s != c.want {
			t.Errorf("%s for %q: %q, want %q", c.id.Caller, c.id.EndUser, s, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	p := fixture(t,
		rule(1, manifest.Rule{Actions: []string{"service/*"}, Groups: []string{"adm"}, GIDs: []uint32{4}, Keys: []string{"web"}}),
		rule(2, manifest.Rule{Actions: []string{"service/restart"}, UIDs: []uint32{33}, EndUsers: []string{"alice"}}),
		rule(3, manifest.Rule{Actions: []string{"service/restart"}, UIDs: []uint32{33}, Where: map[string][]any{"unit": {"a", "b"}}}),
		rule(4, manifest.Rule{Actions: []string{"service/restart", "scan/*"}, UIDs: []uint32{33}, Where: map[string][]any{"tries": {int64(3)}}}))
	x := p.Explain(www, "service", "restart", deputy.Params{"unit": "x"}, true)
	lang := "LANG=C"
	want := deputy.Explanation{
		Allowed: true, Rule: "site.toml:4", TimeoutMS: 7200000, GraceMS: 10000, OutputCap: 8 << 20,
		Denied: []deputy.DeniedRule{
			{Rule: "service.toml:3", Reason: "it is for user eve, not for uid 33 (www-data)"},
			{Rule: "site.toml:1", Reason: "it is for group adm, key web, not for uid 33 (www-data)"},
			{Rule: "site.toml:2", Reason: "it is for certain end users, and the request names none"},
			{Rule: "site.toml:3", Reason: "it holds only where unit is one of [a b]"},
		},
		Tasks: []deputy.Launch{{
			Argv: []string{"/usr/bin/systemctl", "restart", "x"}, User: "scanner", Directory: "/",
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", lang, "HOME=/var/scan",
				"USER=scanner", "LOGNAME=scanner", "SHELL=/bin/sh", "DEPUTY_CALLER=uid:33", "TRIES=3", "DEPUTY_NOTIFY_SOCKET=<socket>",
				"DEPUTY_TASK=<task>", "DEPUTY_MODULE=service", "DEPUTY_ACTION=restart", "DEPUTY_END_USER=", "DEPUTY_ATTEMPT=1"},
		}},
	}
	if d := cmp.Diff(want, x); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, c := range []struct {
		what   string
		id     Identity
		action string
		params deputy.Params
		reason string
		denied int
	}{
		{"no rule at all", www, "mail/send", nil, "no rule names mail/send", 0},
		{"no value given", www, "service/restart", nil, "cannot call service/restart: unit is missing: it must be a string", 4 + 1},
		{"another end user", panel.as("bob"), "service/restart", deputy.Params{"unit": "x"},
			"key panel may not call service/restart; the administrator sees why with: deputy explain --as key:panel service restart", 5},
	} {
		module, name, _ := strings.Cut(c.action, "/")
		x := p.Explain(c.id, module, name, c.params, true)
		if x.Allowed || x.Reason != c.reason || len(x.Denied) != c.denied || x.Error == nil || x.Tasks != nil {
			t.Errorf("%s: %+v", c.what, x)
		}
	}
	stops := fixture(t, rule(1, everything)).Explain(www, "scan", "stop", deputy.Params{"task_ids": deputy.Text("1,2")}, true)
	if len(stops.Tasks) != 2 || *stops.Tasks[1].Stops != "start" || *stops.Tasks[1].Lock != "2" || len(stops.Tasks[0].Argv) != 0 {
		t.Errorf("a stops action: %+v", stops)
	}
}

func TestRights(t *testing.T) {
	p := fixture(t,
		rule(1, manifest.Rule{Actions: []string{"scan/*"}, UIDs: []uint32{33}, Read: true}),
		rule(2, manifest.Rule{Actions: []string{"scan/start"}, UIDs: []uint32{33}, Stop: true, Where: map[string][]any{"task_ids": {int64(1)}}}),
		rule(3, manifest.Rule{Actions: []string{"service/restart"}, Keys: []string{"panel"}, Read: true, Where: map[string][]any{"unit": {"{end_user}"}}}),
		rule(4, manifest.Rule{Actions: []string{"mail/send"}, UIDs: []uint32{33}}))
	task := func(action string, params string) (string, string, map[string]any) {
		module, name, _ := strings.Cut(action, "/")
		var decoded deputy.Params
		if err := json.Unmarshal([]byte(params), &decoded); err != nil {
			t.Fatal(err)
		}
		return module, name, decoded
	}
	p.set.Config.Keys = map[string]manifest.CallerSettings{"panel": {NamesEndUser: true}, "audit": {Auditor: true}}
	for _, c := range []struct {
		id             Identity
		action, params string
		read, stop     bool
	}{
		{www, "scan/start", `{"task_id":1}`, true, true},
		{www, "scan/start", `{"task_id":2}`, true, false},
		{www, "scan/start", `{}`, true, false},
		{www, "mail/send", `{}`, false, false},
		{www, "gone/x", `{}`, false, false},
		{panel.as("alice"), "service/restart", `{"unit":"alice"}`, true, false},
		{panel.as("alice"), "service/restart", `{"unit":"bob"}`, false, false},
		{panel, "service/restart", `{"unit":""}`, false, false},
		{staff, "service/status", `{"units":["x"]}`, true, false},
		{staff, "service/restart", `{"unit":"x"}`, false, false},
		{staff.as("alice"), "service/restart", `{"unit":"x"}`, false, true},
		{staff.as("alice"), "service/status", `{"units":["x"]}`, true, false}, // it has a rule of its own
		{Identity{Caller: "key:audit"}, "gone/x", `{}`, true, false},
		{root, "gone/x", `{}`, true, true},
		{nobody, "scan/start", `{"task_id":1}`, false, false},
	} {
		// As the server has them: through the wall's JSON.
		sent, err := json.Marshal(p.Rights(c.id))
		if err != nil {
			t.Fatal(err)
		}
		var r deputy.Rights
		if err := json.Unmarshal(sent, &r); err != nil {
			t.Fatal(err)
		}
		module, name, params := task(c.action, c.params)
		if read, stop := r.MayRead(module, name, params), r.MayStop(module, name, params); read != c.read || stop != c.stop {
			t.Errorf("%s for %q, %s %s: read %v stop %v\n%s", c.id.Caller, c.id.EndUser, c.action, c.params, read, stop, sent)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	p := fixture(b, rule(1, manifest.Rule{Actions: []string{"service/restart"}, UIDs: []uint32{33}, Where: map[string][]any{"unit": {"nginx.service"}}}))
	for b.Loop() {
		if _, refusal := p.Admit(www, "service", "restart", deputy.Params{"unit": "nginx.service", "tries": deputy.Number("2")}); refusal != nil {
			b.Fatal(refusal)
		}
	}
}

package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/manifest/schema"
	"deputy/internal/monitor/manifest/template"
)

// The callers of these tests.
var (
	www    = Identity{Caller: "uid:33", UID: 33, GIDs: []uint32{33}, Name: "www-data"}
	staff  = Identity{Caller: "uid:1000", UID: 1000, GIDs: []uint32{1000, 50}, Name: "eve"}
	nobody = Identity{Caller: "uid:4000", UID: 4000, GIDs: []uint32{4000}}
	root   = Identity{Caller: "uid:0", Name: "root"}
	panel  = Identity{Caller: "key:panel"}
)

func (id Identity) as(endUser string) Identity {
	id.EndUser = endUser
	return id
}

func text(t testing.TB, s string) *template.Text {
	t.Helper()
	parsed, err := template.ParseText(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// action makes a declaration of params, which must be sane, and a command.
func action(t testing.TB, module, name string, params []*schema.Param, command ...any) *manifest.Action {
	t.Helper()
	a := &manifest.Action{
		Module: module, Name: name, Params: map[string]*schema.Param{}, Directory: "/", OnBusy: manifest.Join,
		User:    &manifest.User{Name: "scanner", UID: 990, GID: 990, Home: "/var/scan", Shell: "/bin/sh"},
		Timeout: 2 * time.Hour, Grace: 10 * time.Second, OutputCap: 8 << 20, MaxBody: 64 << 10, Stoppable: true,
	}
	for _, p := range params {
		if keyword, err := p.Validate(); err != nil {
			t.Fatalf("%s: %s %v", p.Name, keyword, err)
		}
		a.Params[p.Name] = p
	}
	if command != nil {
		c, err := template.ParseCommand(command)
		if err != nil {
			t.Fatal(err)
		}
		a.Command = c
	}
	return a
}

func rule(line int, r manifest.Rule) *manifest.Rule {
	if r.Pos.File == "" {
		r.Pos.File = "/etc/deputy/allow.d/site.toml"
	}
	r.Pos.Line = line
	return &r
}

// fixture is a policy of three modules:
//
//	scan/start   for_each over task_ids, lock {task_id}; scan/stop stops it
//	service/restart, service/status, the second with rules of its own
//	mail/send    a sensitive param on stdin
func fixture(t testing.TB, rules ...*manifest.Rule) *Policy {
	ids := &schema.Param{Name: "task_ids", Type: "array", MaxItems: new(100), Items: &schema.Param{Type: "integer", Minimum: int64(-9)}}
	start := action(t, "scan", "start", []*schema.Param{ids, {Name: "label", Type: "string", Optional: true}},
		"/opt/scan", "-t", "{task_id}", []any{"--label", "{label}"})
	start.ForEach = &manifest.ForEach{Item: "task_id", List: "task_ids"}
	start.Lock = text(t, "{task_id}")
	stop := action(t, "scan", "stop", []*schema.Param{ids})
	stop.ForEach, stop.Lock, stop.Stops, stop.User = start.ForEach, start.Lock, "start", nil

	unit := &schema.Param{Name: "unit", Type: "string"}
	restart := action(t, "service", "restart", []*schema.Param{unit, {Name: "tries", Type: "integer", Default: int64(3), Minimum: int64(1)}},
		"/usr/bin/systemctl", "restart", "{unit}")
	restart.Env = map[string]*template.Text{"TRIES": text(t, "{tries}"), "LANG": text(t, "C"), "DEPUTY_CALLER": text(t, "root")}
	status := action(t, "service", "status", []*schema.Param{{Name: "units", Type: "array", Items: &schema.Param{Type: "string"}}},
		"/usr/bin/systemctl", "status", "--", "{units...}")
	own := rule(30, manifest.Rule{Pos: manifest.Pos{File: "/etc/deputy/modules.d/service.toml"}, Actions: []string{"service/status"}, Users: []string{"eve"}, UIDs: []uint32{1000}, Read: true})
	module := rule(3, manifest.Rule{Pos: manifest.Pos{File: "/etc/deputy/modules.d/service.toml"}, Actions: []string{"service/*"}, Users: []string{"eve"}, UIDs: []uint32{1000}, Stop: true,
		EndUsers: []string{"alice"}})
	restart.Rules, status.Rules = []*manifest.Rule{module}, []*manifest.Rule{own}

	send := action(t, "mail", "send", []*schema.Param{
		{Name: "to", Type: "string", Formats: []string{"email"}},
		{Name: "secret", Type: "string", Sensitive: true, MinLength: new(6)}}, "/usr/bin/mailer", "{to}")
	send.Stdin = text(t, "{params}")

	set := &manifest.Policy{
		Config: &manifest.Config{
			Keys:    map[string]manifest.CallerSettings{"panel": {NamesEndUser: true, Auditor: true}},
			Users:   map[string]manifest.CallerSettings{"uid:1000": {NamesEndUser: true}},
			Default: manifest.Defaults{Live: 256},
		},
		Modules: map[string]*manifest.Module{}, Rules: rules,
	}
	for _, a := range []*manifest.Action{start, stop, restart, status, send} {
		if set.Modules[a.Module] == nil {
			set.Modules[a.Module] = &manifest.Module{Name: a.Module, Actions: map[string]*manifest.Action{}}
		}
		set.Modules[a.Module].Actions[a.Name] = a
	}
	return New(set, Options{SelfUID: 0})
}

func TestRules(t *testing.T) {
	p := fixture(t,
		rule(1, manifest.Rule{Actions: []string{"service/restart"}, Users: []string{"www-data"}, UIDs: []uint32{33},
			Where: map[string][]any{"unit": {"nginx.service", "{end_user}"}}}),
		rule(2, manifest.Rule{Actions: []string{"service/restart"}, Users: []string{"www-data"}, UIDs: []uint32{33},
			Where: map[string][]any{"unit": {"php.service"}, "tries": {int64(1), 2.0}}}),
		rule(3, manifest.Rule{Actions: []string{"scan/*"}, Groups: []string{"staff"}, GIDs: []uint32{50}}),
		rule(4, manifest.Rule{Actions: []string{"*"}, Keys: []string{"panel"}, EndUsers: []string{"alice", "bob"}}),
		rule(5, manifest.Rule{Actions: []string{"service/restart"}, Keys: []string{"panel"}, Where: map[string][]any{"unit": {"{end_user}", "{caller}"}}}),
		rule(6, manifest.Rule{Actions: []string{"scan/start"}, Users: []string{"www-data"}, UIDs: []uint32{33}, Where: map[string][]any{"task_ids": {int64(1), int64(2)}}}),
		rule(7, manifest.Rule{Actions: []string{"scan/stop"}, Users: []string{"www-data"}, UIDs: []uint32{33}, Where: map[string][]any{"task_id": {int64(1)}}}),
		rule(8, manifest.Rule{Actions: []string{"service/status"}, Users: []string{"www-data"}, UIDs: []uint32{33}, Where: map[string][]any{"units": {"a", "b"}}}),
		rule(9, manifest.Rule{Actions: []string{"mail/send"}}),
		rule(10, manifest.Rule{Actions: []string{"scan/*"}, Keys: []string{"panel"}, EndUsers: []string{""}}),
	)
	restart := func(unit string) deputy.Params { return deputy.Params{"unit": unit} }
	ids := func(text string) deputy.Params { return deputy.Params{"task_ids": deputy.Text(text)} }
	const no = "not_allowed"
	for _, c := range []struct {
		what   string
		id     Identity
		action string
		params deputy.Params
		want   string // the rule, or the code
	}{
		{"a user and a value", www, "service/restart", restart("nginx.service"), "site.toml:1"},
		{"another value", www, "service/restart", restart("ssh.service"), no},
		{"no end user is not an empty value", www, "service/restart", restart(""), no},
		{"the placeholder is no value", www, "service/restart", restart("{end_user}"), no},
		{"a default counts as a value", www, "service/restart", restart("php.service"), no},
		{"two conditions", www, "service/restart", deputy.Params{"unit": "php.service", "tries": deputy.Number("2")}, "site.toml:2"},
		{"equal as numbers", www, "service/restart", deputy.Params{"unit": "php.service", "tries": deputy.Number("1.0")}, "site.toml:2"},
		{"a group", staff, "scan/start", ids("5"), "site.toml:3"},
		{"a group of another", www, "scan/stop", ids("5"), no},
		{"a module's rule needs its end user", staff, "service/restart", restart("x"), no},
		{"a module's rule", staff.as("alice"), "service/restart", restart("x"), "service.toml:3"},
		{"another end user", staff.as("bob"), "service/restart", restart("x"), no},
		{"an action's own rule replaces the module's", staff, "service/status", deputy.Params{"units": []any{"x"}}, "service.toml:30"},
		{"a key for an end user", panel.as("alice"), "scan/start", ids("1"), "site.toml:4"},
		{"the first that holds is named", panel.as("bob"), "service/restart", restart("bob"), "site.toml:4"},
		{"rules add up", panel.as("carol"), "service/restart", restart("carol"), "site.toml:5"},
		{"a key without an end user", panel, "scan/start", ids("1"), no},
		{"the caller as a value", panel, "service/restart", restart("key:panel"), "site.toml:5"},
		{"no rule for root", root, "service/restart", restart("x"), no},
		{"a uid that is nobody's", nobody, "service/restart", restart("x"), no},
		{"a key of another name", Identity{Caller: "key:www-data"}, "service/restart", restart("nginx.service"), no},
		{"a key has no uid", Identity{Caller: "key:other", UID: 33, GIDs: []uint32{50}}, "scan/start", ids("1"), no},
		{"an unknown kind of caller", Identity{Caller: "schedule:x", UID: 33}, "service/restart", restart("nginx.service"), no},
		{"every item", www, "scan/start", ids("1,2,1"), "site.toml:6"},
		{"one item too much", www, "scan/start", ids("1,3"), no},
		{"by the item's name", www, "scan/stop", ids("1"), "site.toml:7"},
		{"every item of a list", www, "service/status", deputy.Params{"units": []any{"b", "a"}}, "site.toml:8"},
		{"an item that is not allowed", www, "service/status", deputy.Params{"units": []any{"b", "c"}}, no},
		{"an empty list may mean all", www, "service/status", deputy.Params{"units": []any{}}, no},
		{"a rule for nobody", www, "mail/send", deputy.Params{}, no},
		{"unknown action", www, "service/stop", nil, "unknown_action"},
		{"unknown module", www, "firewall/apply", nil, "unknown_action"},
		{"another case", www, "Service/restart", restart("nginx.service"), "unknown_action"},
		{"404 before 403 of an end user", www.as("x"), "service/nothing", nil, "unknown_action"},
		{"403 before 422", nobody, "service/restart", deputy.Params{"bad": 1}, no},
		{"422 before 403 of a value", www, "service/restart", deputy.Params{"unit": "ssh.service", "bad": "x"}, "bad_param"},
		{"may not name an end user", www.as("alice"), "service/restart", restart("nginx.service"), no},
		{"an end user of two lines", panel.as("a\nb"), "service/restart", restart("x"), "bad_request"},
	} {
		module, name, _ := strings.Cut(c.action, "/")
		plan, refusal := p.Admit(c.id, module, name, c.params)
		got := ""
		if refusal != nil {
			got = string(refusal.Code)
		} else {
			got = plan.Rule
		}
		if got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.what, got, refusal, c.want)
		}
		if x := p.Explain(c.id, module, name, c.params, true); x.Allowed != (refusal == nil) || x.Allowed == (x.Reason != "") || x.Allowed && x.Rule != got {
			t.Errorf("%s: Explain says %+v, Admit %s", c.what, x, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	p := fixture(t, rule(7, manifest.Rule{Actions: []string{"service/restart", "scan/*", "mail/send"}, UIDs: []uint32{33}, Where: map[string][]any{"unit": {"nginx.service"}}}))
	for _, c := range []struct {
		id     Identity
		action string
		params deputy.Params
		want   string
	}{
		{nobody, "service/restart", nil, "uid 4000 may not call service/restart; the administrator sees why with: deputy explain --as uid:4000 service restart"},
		{Identity{Caller: "key:web", Name: "web"}, "service/restart", nil, "key web may not call service/restart; the administrator sees why with: deputy explain --as key:web service restart"},
		{www, "service/status", nil, "uid 33 (www-data) may not call service/status; the administrator sees why with: deputy explain --as www-data service status"},
		{www, "service/restart", deputy.Params{"unit": "x"}, "uid 33 (www-data) may not call service/restart with these values; the administrator sees why with: deputy explain --as www-data service restart"},
		{www.as("alice"), "service/restart", nil, `uid 33 (www-data) may not name an end user; the administrator allows it in deputy.toml with: [user."www-data"] names_end_user = true`},
		{Identity{Caller: "key:web", EndUser: "alice"}, "service/restart", nil, `key web may not name an end user; the administrator allows it in deputy.toml with: [key."web"] names_end_user = true`},
		{www, "service/restrat", nil, `cannot call "service"/"restrat": there is no such action; did you mean service/restart?`},
		{www, "servise/restart", nil, `cannot call "servise"/"restart": there is no such module; did you mean service/restart?`},
		{nobody, "service/restrat", nil, `cannot call "service"/"restrat": there is no such action; the actions that you may call are listed by: deputy actions`},
		{www, "service/restart", deputy.Params{"unit": int64(1), "tries": deputy.Text("0"), "x": nil}, `cannot call service/restart: tries must be an integer of at least 1, not "0" (and 2 more)`},
		{www, "service/restart", deputy.Params{"unit": "-x"}, `cannot call service/restart: unit cannot begin with "-" ("-x"): it would be read as an option`},
		{www, "scan/start", deputy.Params{"task_ids": deputy.Text("1,-2,-3")}, `cannot call scan/start: task_ids has a wrong item: it cannot begin with "-" ("-2"): it would be read as an option`},
		{www, "mail/send", deputy.Params{"to": "a@b.example", "secret": "short"}, `cannot call mail/send: secret must have at least 6 characters, not 5`},
	} {
		module, name, _ := strings.Cut(c.action, "/")
		_, refusal := p.Admit(c.id, module, name, c.params)
		if refusal == nil || refusal.Detail != c.want {
			t.Errorf("%s %s %v:\n\tgot  %v\n\twant %s", c.id.Caller, c.action, c.params, refusal, c.want)
		}
	}
	_, refusal := p.Admit(www, "service", "restart", deputy.Params{"unit": int64(1), "tries": deputy.Text("0"), "x": nil})
	want := []deputy.ParamError{
		{Param: "tries", Detail: `must be an integer of at least 1, not "0"`},
		{Param: "unit", Detail: `must be a string, not the number 1`},
		{Param: "x", Detail: `is not a param here`},
	}
	if d := cmp.Diff(want, refusal.Errors); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestItems(t *testing.T) {
	p := fixture(t, rule(1, manifest.Rule{Actions: []string{"*"}, UIDs: []uint32{33}}))
	plan, refusal := p.Admit(www, "scan", "start", deputy.Params{"task_ids": deputy.Text("3,1,3,2,1"), "label": "x"})
	if refusal != nil {
		t.Fatal(refusal)
	}
	var got []Item
	for _, item := range plan.Items {
		item.values = nil
		got = append(got, item)
	}
	want := []Item{}
	for _, id := range []int64{3, 1, 2} {
		want = append(want, Item{Params: map[string]any{"task_id": id, "label": "x"}, Lock: []string{string(rune('0' + id))}})
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(Item{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !slices.Equal(plan.Each, []int{0, 1, 0, 2, 1}) {
		t.Errorf("the items of the request are those of %v", plan.Each)
	}
	if plan.Module.Name != "scan" || plan.Action.Name != "start" {
		t.Errorf("%s/%s", plan.Module.Name, plan.Action.Name)
	}
	// A lock that not every value has for itself: nothing is dropped in silence.
	plan.Action.Lock = text(t, "all")
	_, refusal = p.Admit(www, "scan", "start", deputy.Params{"task_ids": deputy.Text("7,7,8,9")})
	want422 := []deputy.ParamError{}
	if refusal == nil || refusal.Code != deputy.BadParam {
		t.Fatalf("one lock for all: %+v", refusal)
	}
	for _, clash := range [][2]int{{0, 2}, {2, 0}, {3, 0}} {
		want422 = append(want422, deputy.ParamError{Param: fmt.Sprintf("task_ids[%d]", clash[0]),
			Detail: fmt.Sprintf(`has the lock "all" of task_ids[%d], and another value: one of them alone could run; ask for them one after the other`, clash[1])})
	}
	if d := cmp.Diff(want422, refusal.Errors); d != "" {
		t.Errorf("one lock for all (-want +got):\n%s", d)
	}
	if plan, refusal := p.Admit(www, "scan", "start", deputy.Params{"task_ids": deputy.Text("7,7")}); refusal != nil || len(plan.Items) != 1 || len(plan.Each) != 2 {
		t.Errorf("equal values of one lock: %+v, %v", plan, refusal)
	}
	// Without a lock equal values are one task, too; with an empty list there is none.
	plan.Action.Lock = nil
	if plan, _ := p.Admit(www, "scan", "start", deputy.Params{"task_ids": deputy.Text("1,1,2")}); len(plan.Items) != 2 || len(plan.Each) != 3 || plan.Items[0].Lock != nil {
		t.Errorf("without a lock: %+v", plan.Items)
	}
	if plan, refusal := p.Admit(www, "scan", "start", deputy.Params{"task_ids": []any{}}); refusal != nil || len(plan.Items) != 0 {
		t.Errorf("an empty list: %+v, %v", plan, refusal)
	}
}

// zeros is a seal that a test can read.
func zeros(param, value string) string { return param + "=" + strings.Repeat("0", len(value)) }

func TestSensitive(t *testing.T) {
	p := fixture(t, rule(1, manifest.Rule{Actions: []string{"*"}, UIDs: []uint32{33}}))
	params := deputy.Params{"to": "a@b.example", "secret": "hunter2"}
	plan, refusal := p.Admit(www, "mail", "send", params)
	if refusal != nil {
		t.Fatal(refusal)
	}
	item := plan.Items[0]
	if d := cmp.Diff(map[string]any{"to": "a@b.example"}, item.Params); d != "" {
		t.Errorf("Params (-want +got):\n%s", d)
	}
	sealed := item.Sealed(zeros)
	if d := cmp.Diff(map[string]any{"to": "a@b.example", "secret": "secret=0000000"}, sealed); d != "" {
		t.Errorf("sealed (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]any{"secret": "hunter2"}, item.Secrets); d != "" {
		t.Errorf("Secrets (-want +got):\n%s", d)
	}
	launched, err := Launch(plan.Action, sealed, item.Secrets, Context{})
	if err != nil || string(launched.Stdin) != `{"secret":"hunter2","to":"a@b.example"}` {
		t.Errorf("stdin %s, %v", launched.Stdin, err)
	}
	// Whatever else is made of the request does not hold the secret.
	launched.Stdin = nil
	told, err := json.Marshal([]any{p.Explain(www, "mail", "send", params, true), item.Params, launched, sealed, plan.Digest(zeros)})
	if err != nil || strings.Contains(string(told), "hunter2") {
		t.Errorf("the secret stands in %s, %v", told, err)
	}
	if _, err := Launch(plan.Action, sealed, nil, Context{}); err == nil || err.Error() != "cannot start mail/send: secret is a secret that is gone" {
		t.Errorf("without its secrets: %v", err)
	}
}

func TestDigest(t *testing.T) {
	p := fixture(t, rule(1, manifest.Rule{Actions: []string{"*"}, UIDs: []uint32{33}}))
	digest := func(params deputy.Params) string {
		plan, refusal := p.Admit(www, "service", "restart", params)
		if refusal != nil {
			t.Fatal(refusal)
		}
		return plan.Digest(zeros)
	}
	a := digest(deputy.Params{"unit": "x"})
	if b := digest(deputy.Params{"unit": deputy.Text("x"), "tries": deputy.Number("3.0")}); a != b || len(a) != 64 {
		t.Errorf("the same values: %s and %s", a, b)
	}
	if b := digest(deputy.Params{"unit": "y"}); a == b {
		t.Error("other values have the same digest")
	}
	other, refusal := p.Admit(www, "scan", "start", deputy.Params{"task_ids": deputy.Text("1,2")})
	if refusal != nil {
		t.Fatal(refusal)
	}
	stop, refusal := p.Admit(www, "scan", "stop", deputy.Params{"task_ids": deputy.Text("1,2")})
	if refusal != nil || stop.Digest(zeros) == other.Digest(zeros) {
		t.Errorf("other actions have the same digest, %v", refusal)
	}
	if again, _ := p.Admit(www, "scan", "start", deputy.Params{"task_ids": deputy.Text("1,2,1")}); again.Digest(zeros) == other.Digest(zeros) {
		t.Error("an item that stands twice has the same digest as one that stands once")
	}
}

// What this machine cannot do as declared is refused alone, and says what to do;
// who may not have it anyway learns nothing of it.
func TestUnusable(t *testing.T) {
	p := fixture(t, rule(1, manifest.Rule{Actions: []string{"service/restart", "service/status", "scan/*"}, UIDs: []uint32{33}}))
	p.set.Modules["service"].Actions["restart"].Unusable = "there is no user \"web\"; create it (useradd --system web) or correct the name"
	params := deputy.Params{"unit": "x"}
	_, refusal := p.Admit(www, "service", "restart", params)
	if refusal == nil || refusal.Code != deputy.CannotEnforce || refusal.Detail != "cannot call service/restart: "+p.set.Modules["service"].Actions["restart"].Unusable {
		t.Errorf("%+v", refusal)
	}
	if _, _, refusal = p.Recheck(www, "service", "restart", map[string]any{"unit": "x", "tries": int64(1)}); refusal == nil || refusal.Code != deputy.CannotEnforce {
		t.Errorf("a waiting one: %+v", refusal)
	}
	if x := p.Explain(www, "service", "restart", params, true); x.Allowed || x.Error == nil || x.Error.Code != deputy.CannotEnforce {
		t.Errorf("%+v", x)
	}
	if _, refusal = p.Admit(nobody, "service", "restart", params); refusal == nil || refusal.Code != deputy.NotAllowed {
		t.Errorf("a stranger: %+v", refusal)
	}
	if _, refusal = p.Admit(www, "scan", "start", deputy.Params{"task_ids": deputy.Text("1")}); refusal != nil {
		t.Errorf("another action: %v", refusal)
	}
}

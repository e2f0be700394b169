//go:build linux

package httpapi_test

import (
	"slices"
	"strings"
	"testing"

	"deputy"
	"deputy/internal/wall"
)

func TestCall(t *testing.T) {
	r := start(t)
	a := r.do(panel, "POST", "/v1/actions/demo/echo", `{"n":12345678901234567890}`)
	tasks := a.tasks(t, 202)
	if len(tasks) != 1 || a.Header.Get("Location") != "/v1/tasks/"+tasks[0].ID || a.Header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("%v %s", a.Header, a.body)
	}
	if !strings.Contains(a.body, `"params":{"n":12345678901234567890}`) {
		t.Errorf("a number has changed: %s", a.body)
	}
	// Every member is always present.
	var list struct{ Tasks []map[string]any }
	a.into(t, 202, &list)
	want := []string{"action", "again_of", "approval", "attempt", "attempts", "caller", "confirm", "created", "end_user", "ended", "exit", "id",
		"joined", "leftover", "lock", "module", "params", "progress", "reason", "result", "started", "state", "stderr_bytes", "stderr_gap",
		"stderr_rewritten", "stdout_bytes", "stdout_gap", "stdout_rewritten", "stop", "traceparent", "usage", "waiting", "why"}
	got := make([]string, 0, len(want))
	for name := range list.Tasks[0] {
		got = append(got, name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("members %v\nwant %v", got, want)
	}
	// What was answered can be read on any other connection.
	var task deputy.Task
	r.do(panel, "GET", a.Header.Get("Location"), "").into(t, 200, &task)
	if task.ID != tasks[0].ID || task.State != deputy.Queued {
		t.Errorf("%+v", task)
	}
	if a := r.do(panel, "POST", "/v1/actions/demo/echo", `{"none":true}`); a.body != `{"tasks":[]}`+"\n" || a.Header.Get("Location") != "" {
		t.Errorf("no tasks: %s", a.body)
	}
	if a := r.do(panel, "POST", "/v1/actions/demo/echo", ``, "Idempotency-Key: again"); a.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("replayed: %v", a.Header)
	}
}

func TestCallWaits(t *testing.T) {
	r := start(t)
	for _, c := range []struct {
		target, header string
		status         int
	}{
		{"?wait=10", "X: y", 200},
		{"?wait=0", "X: y", 200},
		{"", "Prefer: respond-async, Wait=10", 200},
		{"?wait=99999999999", "X: y", 200},
		{"", "X: y", 202},
		{"?output=3", "X: y", 202},
	} {
		a := r.do(panel, "POST", "/v1/actions/demo/echo"+c.target, `{"print":"x"}`, c.header)
		if a.StatusCode != c.status {
			t.Errorf("%+v: %d %s", c, a.StatusCode, a.body)
		}
	}
	if a := r.do(panel, "POST", "/v1/actions/demo/echo?wait=0", `{}`); a.StatusCode != 202 {
		t.Errorf("a task that lives: %d %s", a.StatusCode, a.body)
	}
	// The answer comes with the end, not before and not at the end of the wait.
	id := r.Accept("uid:33", "demo", "echo", nil)
	r.Start(id)
	answered := make(chan answer)
	go func() { answered <- r.do(panel, "POST", "/v1/actions/demo/echo?wait=15", `{"join":"`+id+`"}`) }()
	r.until("the call has joined", func() bool {
		var task deputy.Task
		r.do(panel, "GET", "/v1/tasks/"+id, "").into(t, 200, &task)
		return len(task.Joined) == 1
	})
	select {
	case a := <-answered:
		t.Errorf("answered before the end: %s", a.body)
	default:
	}
	r.End(id, deputy.Failed)
	a := <-answered
	if tasks := a.tasks(t, 200); tasks[0].State != deputy.Failed || *tasks[0].Exit.Code != 1 {
		t.Errorf("%s", a.body)
	}
}

func TestCallShowsOutput(t *testing.T) {
	r := start(t)
	long := strings.Repeat("0123456789", 20_000)
	for _, c := range []struct {
		print, output, stdout string
		truncated             bool
	}{
		{"hello\n", "100", "hello\n", false},
		{"hello\n", "3", "lo\n", true},
		{"hello\n", "0", "", true},
		{"", "5", "", false},
		{"a\xffb\xf0\x9f\x98", "100", "a\ufffdb\ufffd\ufffd\ufffd", false},
		{"aé", "1", "", true}, // the rest of a character whose beginning is not shown
		{"<&>\u2028\"\\\x01", "100", "<&>\u2028\"\\\x01", false},
		{long + "é", "150002", long[50_000:] + "é", true},
	} {
		id := r.Accept("uid:33", "demo", "echo", nil)
		r.Start(id)
		r.Write(id, "stdout", c.print)
		r.End(id, deputy.Succeeded)
		body := `{"join":"` + id + `"}`
		var got struct {
			Tasks []struct {
				deputy.Task
				Stdout, Stderr *string
				Truncated      *bool
			}
		}
		a := r.do(panel, "POST", "/v1/actions/demo/echo?wait=10&output="+c.output, body)
		a.into(t, 200, &got)
		task := got.Tasks[0]
		if *task.Stdout != c.stdout || *task.Stderr != "" || *task.Truncated != c.truncated || task.StdoutBytes != int64(len(c.print)) {
			t.Errorf("%.40q, output=%s: %.60q %v %s", c.print, c.output, *task.Stdout, *task.Truncated, a.body[:min(300, len(a.body))])
		}
	}
}

func TestVisibility(t *testing.T) {
	r := start(t)
	mine := r.Accept("uid:33", "demo", "echo", nil)
	theirs := r.Accept("uid:34", "demo", "echo", nil)
	shown := r.Accept("uid:34", "demo", "echo", deputy.Params{"target": "shown"})
	joined := r.Accept("uid:34", "demo", "echo", nil)
	r.Join(joined, "uid:33", "demo", "echo")
	for uid, want := range map[uint32][]string{
		panel: {joined, mine}, other: {joined, shown, theirs}, reader: {shown}, root: {joined, shown, theirs, mine}, stranger: {},
	} {
		var page struct {
			Tasks []deputy.Task
			Next  *string
		}
		r.do(uid, "GET", "/v1/tasks", "").into(t, 200, &page)
		got := []string{}
		for _, task := range page.Tasks {
			got = append(got, task.ID)
		}
		if !slices.Equal(got, want) || page.Next != nil {
			t.Errorf("uid %d sees %v, want %v", uid, got, want)
		}
		for _, id := range []string{mine, theirs, shown, joined} {
			status := 404
			if slices.Contains(want, id) {
				status = 200
			}
			for _, path := range []string{"", "/stdout", "/stderr"} {
				want := status
				if uid == panel && id == joined && path != "" { // it sees no more than an outline
					want = 403
				}
				if a := r.do(uid, "GET", "/v1/tasks/"+id+path, ""); a.StatusCode != want {
					t.Errorf("uid %d, task %s%s: %d, want %d", uid, id, path, a.StatusCode, want)
				}
			}
		}
	}
	// Rights are asked for anew when the policy changes.
	c := r.client(reader)
	get := func() int {
		resp, err := c.Get("http://deputy/v1/tasks/" + theirs)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := get(); status != 404 {
		t.Fatalf("status %d", status)
	}
	decide := r.Decide
	r.Decide = func(q *wall.Request, uid uint32) wall.Outcome {
		if q.Kind == wall.Rights {
			return wall.Outcome{Rights: &deputy.Rights{Caller: "uid:35", Auditor: true}}
		}
		return decide(q, uid)
	}
	r.Policy("an0ther")
	r.until("the new rights hold", func() bool { return get() == 200 })
	if a := r.do(panel, "GET", "/healthz", ""); !strings.Contains(a.body, `"policy":"an0ther"`) {
		t.Errorf("%s", a.body)
	}
}

func TestList(t *testing.T) {
	r := start(t)
	var ids []string
	for i := range 5 {
		id := r.Accept("uid:33", "demo", []string{"echo", "big"}[i%2], nil)
		r.Start(id)
		r.Write(id, "stdout", "four")
		ids = append(ids, id)
	}
	r.End(ids[4], deputy.Failed)
	list := func(query string) (got []string, next string) {
		var page struct {
			Tasks []deputy.Task
			Next  *string
		}
		r.do(panel, "GET", "/v1/tasks"+query, "").into(t, 200, &page)
		for _, task := range page.Tasks {
			if task.StdoutBytes != 4 {
				t.Errorf("stdout_bytes of %s (%s) is %d", task.ID, task.State, task.StdoutBytes)
			}
			got = append(got, task.ID)
		}
		if page.Next != nil {
			next = *page.Next
		}
		return got, next
	}
	for query, want := range map[string][]string{
		"":                             {ids[4], ids[3], ids[2], ids[1], ids[0]},
		"?action=big":                  {ids[3], ids[1]},
		"?state=failed":                {ids[4]},
		"?state=failed,queued":         {ids[4]},
		"?state=failed&state=running":  {ids[4], ids[3], ids[2], ids[1], ids[0]},
		"?since=2000-01-01T00:00:00Z":  {ids[4], ids[3], ids[2], ids[1], ids[0]},
		"?since=2100-01-01T00:00:00Z":  nil,
		"?caller=uid:34":               nil,
		"?module=demo&caller=uid%3A33": {ids[4], ids[3], ids[2], ids[1], ids[0]},
	} {
		if got, _ := list(query); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	var all []string
	next := ""
	for {
		query := "?limit=2"
		if next != "" {
			query += "&cursor=" + next
		}
		page, after := list(query)
		all = append(all, page...)
		if next = after; next == "" {
			break
		}
	}
	if want := []string{ids[4], ids[3], ids[2], ids[1], ids[0]}; !slices.Equal(all, want) {
		t.Errorf("page by page: %v", all)
	}
}

func TestStop(t *testing.T) {
	r := start(t)
	id := r.Accept("uid:33", "demo", "echo", nil)
	r.Start(id)
	var task deputy.Task
	r.do(panel, "POST", "/v1/tasks/"+id+"/stop", `{"force":true}`).into(t, 202, &task)
	if task.Stop == nil || task.Stop.Empty || len(task.Stop.Survivors) != 1 {
		t.Errorf("survivors: %+v", task.Stop)
	}
	r.do(panel, "POST", "/v1/tasks/"+id+"/stop", `{"grace":"1.5s"}`).into(t, 200, &task)
	if task.State != deputy.Stopped || !task.Stop.Empty || task.Stop.TookMS != 1500 {
		t.Errorf("%+v %+v", task, task.Stop)
	}
}

func TestActions(t *testing.T) {
	r := start(t)
	var actions struct{ Actions []deputy.ActionInfo }
	r.do(panel, "GET", "/v1/actions", "").into(t, 200, &actions)
	if len(actions.Actions) != 2 {
		t.Errorf("%+v", actions)
	}
	if a := r.do(stranger, "GET", "/v1/actions", ""); a.body != `{"actions":[]}`+"\n" {
		t.Errorf("%s", a.body)
	}
	var action deputy.ActionInfo
	r.do(panel, "GET", "/v1/actions/demo/big", "").into(t, 200, &action)
	if action.Action != "big" || action.MaxBody != 16<<20 {
		t.Errorf("%+v", action)
	}
	var explained deputy.Explanation
	r.do(panel, "POST", "/v1/explain/demo/echo?as=uid:34", "").into(t, 200, &explained)
	if !explained.Allowed {
		t.Errorf("%+v", explained)
	}
	if a := r.do(root, "POST", "/v1/reload", ""); a.StatusCode != 200 || a.body != `{"digest":"n3w"}`+"\n" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := r.do(root, "POST", "/v1/upgrade", ""); a.StatusCode != 202 || a.body != `{"from":"1","to":"2"}`+"\n" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := r.do(panel, "POST", "/v1/upgrade", ""); a.StatusCode != 403 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	var drain deputy.Drain
	if r.do(root, "POST", "/v1/drain", "").into(t, 200, &drain); !drain.Draining || drain.Live != 3 {
		t.Errorf("%+v", drain)
	}
	if r.do(root, "POST", "/v1/drain", `{"on":false}`).into(t, 200, &drain); drain.Draining {
		t.Errorf("%+v", drain)
	}
	for _, body := range []string{`{"on":1}`, `{"off":true}`, `{"on":true,"x":1}`} {
		if a := r.do(root, "POST", "/v1/drain", body); a.StatusCode != 400 {
			t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
		}
	}
	var health map[string]any
	r.do(stranger, "GET", "/healthz", "").into(t, 200, &health)
	if health["status"] != "ok" || health["version"] != deputy.Version || health["proof"] != "cgroup" || health["config_dir"] != "/etc/deputy" || health["draining"] != false || health["log_dropped"] != 3.0 {
		t.Errorf("%v", health)
	}
	r.Hangs.Store(true)
	if a := r.do(stranger, "GET", "/healthz", ""); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || !strings.Contains(a.body, "deputy's monitor has not answered within 2s") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	r.Hangs.Store(false)
	// A body as long as the largest action's, and one byte more.
	body := `{"print":"` + strings.Repeat("x", 16<<20-12) + `"}`
	if a := r.do(panel, "POST", "/v1/actions/demo/big?wait=20", body); a.StatusCode != 200 {
		t.Errorf("%d %.300s", a.StatusCode, a.body)
	}
	if got := r.raw(panel, finish("POST /v1/actions/demo/big\nContent-Length: 16777217\n\n")); !strings.HasPrefix(got, "413 ") {
		t.Errorf("%s", got)
	}
}

func TestEndUser(t *testing.T) {
	r := start(t)
	var seen string
	decide := r.Decide
	r.Decide = func(q *wall.Request, uid uint32) wall.Outcome {
		if q.Kind == wall.Call {
			seen = q.EndUser
		}
		return decide(q, uid)
	}
	r.do(trusted, "POST", "/v1/actions/demo/echo", "{}", "Deputy-End-User: Zoë", "X-Forwarded-For: 1.2.3.4", "Origin: https://panel").tasks(t, 202)
	if seen != "Zoë" {
		t.Errorf("the monitor was told %q", seen)
	}
}

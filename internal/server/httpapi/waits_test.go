//go:build linux

package httpapi_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deputy"
)

// The monitor is asked of those tasks alone that may wait, of all of a page at once;
// the task that one waits for is named to who may see it.
func TestWhatATaskWaitsForIsAskedWhenItIsShown(t *testing.T) {
	r := start(t)
	since := deputy.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	mine, theirs := r.Accept("uid:33", "demo", "echo", nil), r.Accept("uid:34", "demo", "echo", nil)
	waiting := func(id string) string {
		r.Record(deputy.Event{Type: deputy.Accepted, Caller: "uid:33", Module: "demo", Action: "echo", Tasks: []deputy.TaskRecord{{ID: id, Queued: true}}})
		return id
	}
	one, two := waiting("one"), waiting("two")
	var mu sync.Mutex
	var asked [][]string
	r.Waits = func(ids []string) map[string]*deputy.Waiting {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, slices.Sorted(slices.Values(ids)))
		return map[string]*deputy.Waiting{
			one: {For: deputy.ForLock, Since: since, Task: &mine},
			two: {For: deputy.ForLock, Since: since, Until: &since, Task: &theirs},
		}
	}
	show := func(uid uint32, id string) string {
		a := r.do(uid, "GET", "/v1/tasks/"+id, "")
		_, wait, _ := strings.Cut(a.body, `"waiting":`)
		wait, _, _ = strings.Cut(wait, `,"attempts"`)
		return wait
	}
	const at = `"2026-01-02T03:04:05.000Z"`
	for _, c := range []struct {
		uid      uint32
		id, want string
	}{
		{panel, one, `{"for":"lock","queue":null,"position":null,"since":` + at + `,"until":null,"task":"` + mine + `"}`},
		{panel, two, `{"for":"lock","queue":null,"position":null,"since":` + at + `,"until":` + at + `,"task":null}`},
		{root, two, `{"for":"lock","queue":null,"position":null,"since":` + at + `,"until":` + at + `,"task":"` + theirs + `"}`},
		{panel, mine, "null"},
	} {
		if got := show(c.uid, c.id); got != c.want {
			t.Errorf("uid %d, %s waits for %s, want %s", c.uid, c.id, got, c.want)
		}
	}
	if want := [][]string{{one}, {two}, {two}}; !slices.EqualFunc(asked, want, slices.Equal) {
		t.Errorf("asked of %v, want %v: what does not wait is not asked of", asked, want)
	}
	asked = nil
	var page struct{ Tasks []deputy.Task }
	r.do(panel, "GET", "/v1/tasks", "").into(t, 200, &page)
	if len(asked) != 1 || !slices.Equal(asked[0], []string{one, two}) {
		t.Errorf("for a list asked of %v", asked)
	}
	for _, task := range page.Tasks {
		if waits := task.ID == one || task.ID == two; (task.Waiting != nil) != waits {
			t.Errorf("%s: %+v", task.ID, task.Waiting)
		}
	}
	r.Start(one)
	asked = nil
	if got := show(panel, one); got != "null" || len(asked) > 0 {
		t.Errorf("it has begun, and waits for %s; asked of %v", got, asked)
	}
}

// A task that was to be started when a monitor ended may wait again, and who joined
// another's task is not told what it waits for.
func TestWhatANextMonitorFindsMayWait(t *testing.T) {
	r := start(t)
	r.Waits = func(ids []string) map[string]*deputy.Waiting {
		return map[string]*deputy.Waiting{ids[0]: {For: deputy.ForLock}}
	}
	id := r.Accept("uid:33", "demo", "echo", nil)
	r.Join(id, "uid:34", "demo", "echo")
	show := func(uid uint32) *deputy.Waiting {
		var task deputy.Task
		r.do(uid, "GET", "/v1/tasks/"+id, "").into(t, 200, &task)
		return task.Waiting
	}
	if w := show(panel); w != nil {
		t.Errorf("it is to be started, and waits for %+v", w)
	}
	r.Record(deputy.Event{Type: deputy.MonitorStart, Version: "1"})
	if w := show(panel); w == nil {
		t.Error("a next monitor is not asked what it waits for")
	}
	if w := show(other); w != nil {
		t.Errorf("who joined is told that it waits for %+v", w)
	}
}

package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deputy"
)

// TestListsAgree compares lists of every filter, alone and together, with the
// same choice made one task after the other: of tasks in memory, in the database,
// and in both.
func TestListsAgree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	r, j := rand.New(rand.NewPCG(8, 9)), newJournal()
	var live []string
	h := openTest(t, path)
	apply := func(seq uint64, line []byte) {
		if err := h.Apply(seq, line); err != nil {
			t.Fatal(err)
		}
	}
	j.random(r, 1500, &live, apply)
	h.Close() // nothing but live tasks is in memory now
	h = openTest(t, path)
	for round := range 3 {
		o := fold(t, j.text)
		for range 50 {
			q, scope, visible := randomQuery(r, j)
			want := o.newestFirst(func(task *deputy.Task) bool {
				return wanted(&q, scope, task) && (visible == nil || visible(task))
			})
			same(t, fmt.Sprintf("round %d, %+v of %+v", round, q, scope), all(t, h, q, visible, scope), want)
		}
		j.random(r, 400, &live, apply)
	}
}

func randomQuery(r *rand.Rand, j *journal) (q Query, scope *Scope, visible func(*deputy.Task) bool) {
	q.Limit = 1 + r.IntN(200)
	maybe := func(to *string, form string, n int) {
		if r.IntN(5) == 0 {
			*to = fmt.Sprintf(form, r.IntN(n))
		}
	}
	maybe(&q.Module, "module%d", 4)
	maybe(&q.Action, "action%d", 3)
	maybe(&q.Caller, "uid:3%d", 5)
	if r.IntN(5) == 0 {
		q.Lock = []string{"a", "b", "none"}[r.IntN(3)]
	}
	if r.IntN(5) == 0 {
		q.EndUser = []string{"alice", "bob", "nobody"}[r.IntN(3)]
	}
	if r.IntN(5) == 0 {
		q.Since = j.now.Add(-time.Duration(r.Int64N(int64(2 * time.Second))))
	}
	for range max(0, r.IntN(6)-3) {
		q.State = append(q.State, deputy.States()[r.IntN(len(deputy.States()))])
	}
	if r.IntN(3) == 0 {
		scope = &Scope{Caller: deputy.Caller(fmt.Sprintf("uid:3%d", r.IntN(7)))}
	}
	if r.IntN(4) == 0 {
		visible = func(t *deputy.Task) bool { return t.Created.UnixMilli()%3 == 0 }
	}
	return q, scope, visible
}

// wanted is the plain meaning of a query.
func wanted(q *Query, scope *Scope, t *deputy.Task) bool {
	lock, endUser := "", ""
	if t.Lock != nil {
		lock = *t.Lock
	}
	if t.EndUser != nil {
		endUser = *t.EndUser
	}
	for _, pair := range [][2]string{{q.Module, t.Module}, {q.Action, t.Action}, {q.Caller, string(t.Caller)}, {q.Lock, lock}, {q.EndUser, endUser}} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	if len(q.State) > 0 && !slices.Contains(q.State, t.State) {
		return false
	}
	if scope != nil && t.Caller != scope.Caller && !slices.Contains(t.Joined, scope.Caller) {
		return false
	}
	return !t.Created.Before(q.Since)
}

// TestPagesAreBounded sees that a page ends early where little matches, in
// memory and in the database, and that the pages together miss nothing: what
// matches lies on both sides of where they end.
func TestPagesAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h, j := openTest(t, path), newJournal()
	const n, decoded = 3 * pageRows, pageDecoded + 10
	atEnd := func(i, page int) bool { i %= page; return i == 0 || i == 1 || i == page-1 }
	rare, few := 0, 0
	for i := range n {
		e := j.accepted(j.id())
		e.Action = "common"
		if back := n - 1 - i; back >= pageRows && atEnd(back, pageRows) {
			e.Action = "rare"
			rare++
		} else if back >= decoded && atEnd(back, decoded) {
			e.EndUser = "few"
			few++
		}
		mustApply(t, h, j, e)
	}
	seen := 0
	visible := func(task *deputy.Task) bool { seen++; return *task.EndUser == "few" }
	look := func(where string, most int) {
		t.Helper()
		q := Query{Action: "rare", Limit: 10}
		list, next, err := h.Tasks(context.Background(), q, nil, nil)
		if err != nil || len(list) != 0 || next == "" {
			t.Fatalf("%s: first page: %d tasks, next %q, %v", where, len(list), next, err)
		}
		if list := all(t, h, q, nil, nil); len(list) != rare {
			t.Fatalf("%s: %d tasks of %d", where, len(list), rare)
		}
		seen, q = 0, Query{Limit: 10}
		if _, next, err = h.Tasks(context.Background(), q, visible, nil); err != nil || next == "" || seen > most {
			t.Fatalf("%s: visible was asked %d times, next %q, %v", where, seen, next, err)
		}
		if list := all(t, h, q, visible, nil); len(list) != few {
			t.Fatalf("%s: %d visible tasks of %d", where, len(list), few)
		}
	}
	look("live", pageRows)
	for _, e := range slices.Clone(h.order) {
		mustApply(t, h, j, ended(e.task.ID, deputy.Succeeded))
	}
	h.Close()
	h = openTest(t, path)
	if s := h.Stats(); s.Held != 0 {
		t.Fatalf("%d tasks in memory", s.Held)
	}
	look("ended", decoded)
}

// TestLaterTasksAreLeftOut commits new tasks between the two steps of a list,
// where some of what came in between is in neither: the page must not show the
// newer ones, whose cursor would pass over the others.
func TestLaterTasksAreLeftOut(t *testing.T) {
	h, j := openTest(t, filepath.Join(t.TempDir(), "history.db")), newJournal()
	fill(t, h, j, 5)
	p := page{query: &Query{}, limit: 100}
	s := h.snapshot(&p, 1<<60)
	fill(t, h, j, 5)
	if err := h.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	rows, err := s.list(context.Background(), &p)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.close()
	if list, next, err := p.merge(rows); len(list) != 5 || next != "" || err != nil {
		t.Fatalf("%d tasks, next %q, %v", len(list), next, err)
	}
}

// TestCursorsWhileTasksArrive pages through a list while tasks come, change and
// are written: what was there at the first page is listed once, and nothing new.
func TestCursorsWhileTasksArrive(t *testing.T) {
	h := openTest(t, filepath.Join(t.TempDir(), "history.db"))
	r, j := rand.New(rand.NewPCG(11, 12)), newJournal()
	var live []string
	apply := func(seq uint64, line []byte) {
		if err := h.Apply(seq, line); err != nil {
			t.Error(err)
		}
	}
	j.random(r, 600, &live, apply)
	want := fold(t, j.text).newestFirst(func(*deputy.Task) bool { return true })

	q := Query{Limit: 7}
	list, next, err := h.Tasks(context.Background(), q, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < 200; i++ {
			select {
			case <-stop:
				return
			default:
				j.random(r, 20, &live, apply)
				if i%3 == 0 {
					h.flush(context.Background())
				}
			}
		}
	}()
	for next != "" {
		q.Before = next
		var page []deputy.Task
		if page, next, err = h.Tasks(context.Background(), q, nil, nil); err != nil {
			t.Fatal(err)
		}
		list = append(list, page...)
	}
	close(stop)
	<-done
	ids := func(list []deputy.Task) (ids []string) {
		for _, task := range list {
			ids = append(ids, task.ID)
		}
		return ids
	}
	same(t, "ids", ids(list), ids(want))
}

func TestBadCursor(t *testing.T) {
	h := openTest(t, filepath.Join(t.TempDir(), "history.db"))
	for _, bad := range []string{"x y", "-5", "0", "007", "zzzzzzzzzzzzzzzzzzzzzz", "ABC"} {
		if _, _, err := h.Tasks(context.Background(), Query{Before: bad}, nil, nil); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

// TestLeadersUseAnIndex looks at the plan of each list: no row is sorted, and
// none is read but by the index that leads.
func TestLeadersUseAnIndex(t *testing.T) {
	h := openTest(t, filepath.Join(t.TempDir(), "history.db"))
	for _, c := range []struct {
		q     Query
		scope *Scope
		want  string
	}{
		{Query{}, nil, "SEARCH tasks USING INTEGER PRIMARY KEY"},
		{Query{Module: "m"}, nil, "tasks_module"},
		{Query{Lock: "l"}, nil, "tasks_lock"},
		{Query{EndUser: "u"}, nil, "tasks_user"},
		{Query{State: []deputy.State{deputy.Failed}}, nil, "tasks_state"},
		{Query{Caller: "uid:1"}, nil, "SEARCH parties USING PRIMARY KEY"},
		{Query{Module: "m"}, &Scope{"uid:1"}, "SEARCH parties USING PRIMARY KEY"},
	} {
		p := page{query: &c.q, scope: c.scope, below: 1 << 60}
		query, args := p.statement(0)
		rows, err := h.store.reader.Query("EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var a, b, n int
			var step string
			if err := rows.Scan(&a, &b, &n, &step); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, step)
		}
		text := fmt.Sprint(plan)
		if !strings.Contains(text, c.want) || strings.Contains(text, "TEMP B-TREE") || strings.Contains(text, "SCAN") {
			t.Errorf("%+v %+v: %s", c.q, c.scope, text)
		}
	}
}

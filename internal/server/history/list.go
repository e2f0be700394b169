package history

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"time"

	"deputy"
)

// Bounds of the work that one page may cost.
const (
	pageRows    = 1000 // rows examined, in memory and in the database each
	pageDecoded = 250  // rows of the database that match the query and are shown to visible
	maxLimit    = 1000 // tasks on a page
)

// Query chooses tasks. What is empty chooses all.
type Query struct {
	State                                 []deputy.State
	Module, Action, Lock, Caller, EndUser string
	Since                                 time.Time // created then or later
	Limit                                 int       // tasks on a page; 1 to 1,000
	Before                                string    // the cursor that the page before gave; empty: the newest
}

// Scope chooses the tasks that Caller asked for, first or again.
type Scope struct{ Caller deputy.Caller }

// Tasks lists tasks, newest first by journal order, and the cursor of the next
// page; empty: there is none. visible, unless nil, says which tasks may be seen;
// scope, unless nil, does so by an index. A page costs a bounded amount of work:
// it may hold fewer than Limit, or none at all, and still have a next one.
// A cursor stays good while tasks are added, and across restarts.
func (h *History) Tasks(ctx context.Context, q Query, visible func(*deputy.Task) bool, scope *Scope) ([]deputy.Task, string, error) {
	below, err := parseCursor(q.Before)
	if err != nil {
		return nil, "", err
	}
	p := page{query: &q, scope: scope, visible: visible, limit: min(max(q.Limit, 1), maxLimit)}
	s := h.snapshot(&p, below)
	if q.onlyLive() {
		return p.merge(nil)
	}
	rows, err := s.list(ctx, &p)
	if err != nil {
		return nil, "", fmt.Errorf("cannot list tasks: %w", h.noted(err))
	}
	defer rows.close()
	list, next, err := p.merge(rows)
	if err != nil {
		err = fmt.Errorf("cannot list tasks: %w", h.noted(err))
	}
	return list, next, err
}

// page is one page in the making: the tasks of memory are fixed, those of the
// database follow. It covers the ords from low (exclusive of none) up to below.
type page struct {
	query   *Query
	scope   *Scope
	visible func(*deputy.Task) bool
	limit   int

	below int64           // only tasks with a lower ord
	low   int64           // only tasks with at least this ord: the work is bounded
	floor uint64          // what ended up to this record is retired
	held  []*task         // of memory, matching, newest first
	known []int64         // ords that memory has, matching or not, falling
	gone  map[string]bool // tasks whose output was removed by a record that is not committed yet
}

// snapshot takes the tasks of memory. What it leaves out is committed, so that
// the database, read later, has it; what the database gets later is left out.
func (h *History) snapshot(p *page, below int64) *store {
	h.mu.RLock()
	defer h.mu.RUnlock()
	p.below, p.floor = min(below, h.top+1), h.floor
	i := sort.Search(len(h.order), func(i int) bool { return h.order[i].ord >= p.below })
	examined := 0
	for i--; i >= 0; i-- {
		e := h.order[i]
		if e.dead {
			continue
		}
		if examined++; examined > pageRows {
			p.low = e.ord + 1
			break
		}
		p.known = append(p.known, e.ord)
		if p.query.matches(e.task) && (p.scope == nil || p.scope.holds(e.task)) {
			p.held = append(p.held, e.task)
		}
	}
	for _, b := range []*batch{h.pending, h.writing} {
		if b == nil || len(b.gone) == 0 {
			continue
		}
		if p.gone == nil {
			p.gone = map[string]bool{}
		}
		maps.Copy(p.gone, b.gone)
	}
	return h.store
}

// merge gives the page's tasks: those of memory and of rows (nil: none), by
// falling ord. Where both have a task, memory's is the one.
func (p *page) merge(rows *taskRows) ([]deputy.Task, string, error) {
	list := []deputy.Task{}
	held := p.held
	var row *task
	var err error
	last := p.below // lowest ord that was dealt with
	for {
		if row == nil && rows != nil {
			if row, err = rows.next(p); err != nil {
				return nil, "", err
			}
			if row == nil { // no more, within the bounds
				p.low = max(p.low, rows.low)
				rows = nil
			}
		}
		var t *task
		switch {
		case len(held) > 0 && (row == nil || held[0].ord > row.ord):
			t, held = held[0], held[1:]
		case row != nil:
			t, row = row, nil
		}
		if t == nil || t.ord < p.low {
			return list, cursorOf(p.low), nil
		}
		shown := t.public()
		if p.visible != nil && !p.visible(&shown) {
			last = t.ord
			continue
		}
		if len(list) == p.limit {
			return list, cursorOf(last), nil
		}
		list, last = append(list, shown), t.ord
	}
}

// matches says whether a task of memory is one of those asked for.
func (q *Query) matches(t *task) bool {
	return (len(q.State) == 0 || slices.Contains(q.State, t.State)) &&
		(q.Module == "" || q.Module == t.Module) &&
		(q.Action == "" || q.Action == t.Action) &&
		(q.Lock == "" || t.Lock != nil && q.Lock == *t.Lock) &&
		(q.Caller == "" || q.Caller == string(t.Caller)) &&
		(q.EndUser == "" || t.EndUser != nil && q.EndUser == *t.EndUser) &&
		(q.Since.IsZero() || millis(t.Created) >= ceilMillis(q.Since))
}

func (s *Scope) holds(t *task) bool {
	return t.Caller == s.Caller || slices.Contains(t.Joined, s.Caller)
}

// onlyLive says that memory alone has what is asked for.
func (q *Query) onlyLive() bool {
	return len(q.State) > 0 && !slices.ContainsFunc(q.State, func(s deputy.State) bool { return !slices.Contains(deputy.LiveStates(), s) })
}

// ceilMillis is the first millisecond at or after t.
func ceilMillis(t time.Time) int64 {
	return t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
}

// A cursor is the ord below which the next page begins.
func cursorOf(ord int64) string {
	if ord <= 0 {
		return ""
	}
	return strconv.FormatInt(ord, 36)
}

func parseCursor(text string) (int64, error) {
	if text == "" {
		return math.MaxInt64, nil
	}
	ord, err := strconv.ParseInt(text, 36, 64)
	if err != nil || ord <= 0 || cursorOf(ord) != text {
		return 0, ErrCursor
	}
	return ord, nil
}

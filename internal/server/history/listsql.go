package history

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"deputy"
)

// source is the index that leads a list: it gives ords of rows that have one
// key, by falling ord.
type source struct {
	from string // table, with the index to be used
	ord  string // the ord within it
	key  string // condition that the index answers
	args []any
}

// inStateIndex is what the index tasks_state is confined to (schema.sql). Whatever the
// other conditions imply, SQLite takes a partial index only where its own condition is
// one of the query's (sqlite.org/partialindex.html, section 3).
const inStateIndex = "state <> 'succeeded'"

// leader chooses the index, by how few rows it is likely to give.
func (p *page) leader() source {
	q := p.query
	switch {
	case q.Lock != "":
		return source{"tasks INDEXED BY tasks_lock", "tasks.ord", "lock = ?", []any{q.Lock}}
	case q.Caller != "":
		return source{"parties CROSS JOIN tasks ON tasks.ord = parties.ord", "parties.ord", "parties.caller = ?", []any{q.Caller}}
	case p.scope != nil:
		return source{"parties CROSS JOIN tasks ON tasks.ord = parties.ord", "parties.ord", "parties.caller = ?", []any{string(p.scope.Caller)}}
	case q.EndUser != "":
		return source{"tasks INDEXED BY tasks_user", "tasks.ord", "end_user = ?", []any{q.EndUser}}
	case len(q.State) == 1 && q.State[0] != deputy.Succeeded:
		return source{"tasks INDEXED BY tasks_state", "tasks.ord", "state = ? AND " + inStateIndex, []any{string(q.State[0])}}
	case q.Module != "":
		return source{"tasks INDEXED BY tasks_module", "tasks.ord", "module = ?", []any{q.Module}}
	}
	return source{"tasks", "tasks.ord", "TRUE", nil}
}

// filters are the conditions on the rows that the leader gives.
func (p *page) filters() (text string, args []any) {
	q := p.query
	var b strings.Builder
	b.WriteString("ended_seq > ?") // live ones are in memory, retired ones are no more
	args = append(args, int64(p.floor))
	add := func(condition string, values ...any) {
		b.WriteString(" AND " + condition)
		args = append(args, values...)
	}
	if len(q.State) > 0 {
		in, states := inStates(q.State)
		add("+state "+in, states...)
	}
	for _, equal := range []struct{ column, value string }{
		{"+module", q.Module}, {"+action", q.Action}, {"+lock", q.Lock}, {"+tasks.caller", q.Caller}, {"+end_user", q.EndUser},
	} {
		if equal.value != "" {
			add(equal.column+" = ?", equal.value)
		}
	}
	if !q.Since.IsZero() {
		add("created >= ?", ceilMillis(q.Since))
	}
	if p.scope != nil && (q.Lock != "" || q.Caller != "") { // otherwise it leads
		add("EXISTS (SELECT 1 FROM parties AS mine WHERE mine.caller = ? AND mine.ord = tasks.ord)", string(p.scope.Caller))
	}
	return b.String(), args
}

// inStates is the condition that a state is one of these, of which there are some.
func inStates(list []deputy.State) (text string, args []any) {
	for _, s := range list {
		args = append(args, string(s))
	}
	return "IN (?" + strings.Repeat(", ?", len(args)-1) + ")", args
}

// taskRows are the rows of a page, by falling ord.
type taskRows struct {
	rows    *sql.Rows
	low     int64 // no row has a lower ord, though there may be some that match
	decoded int
}

// list begins to read the page's rows. It first finds how far down the leader's
// next pageRows rows reach, and looks no further.
func (s *store) list(ctx context.Context, p *page) (*taskRows, error) {
	low := p.low
	if !p.query.Since.IsZero() {
		since, err := s.firstSince(ctx, ceilMillis(p.query.Since))
		if err != nil {
			return nil, err
		}
		low = max(low, since)
	}
	r := new(taskRows)
	query, args := p.reach(low)
	err := s.reader.QueryRowContext(ctx, query, args...).Scan(&r.low)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	query, args = p.statement(max(low, r.low))
	r.rows, err = s.reader.QueryContext(ctx, query, args...)
	return r, err
}

// reach asks for the ord of the leader's last row that a page may examine.
func (p *page) reach(low int64) (query string, args []any) {
	lead := p.leader()
	return "SELECT " + lead.ord + " FROM " + bare(lead.from) + lead.between() + " LIMIT 1 OFFSET ?",
		append(lead.args, p.below, low, pageRows-1)
}

// statement asks for the page's rows with at least this ord.
func (p *page) statement(low int64) (query string, args []any) {
	lead := p.leader()
	filters, values := p.filters()
	lead.key += " AND " + filters
	args = append(append(lead.args, values...), p.below, low)
	return "SELECT " + columns + " FROM " + lead.from + lead.between(), args
}

// between ends a query of the leader's rows.
func (s *source) between() string {
	return " WHERE " + s.key + " AND " + s.ord + " < ? AND " + s.ord + " >= ? ORDER BY " + s.ord + " DESC"
}

// bare leaves out the join that a leader's own columns do not need.
func bare(from string) string {
	table, _, _ := strings.Cut(from, " CROSS JOIN ")
	return table
}

// next gives the next row that memory does not have; nil: there is none within
// the bounds.
func (r *taskRows) next(p *page) (*task, error) {
	for r.rows.Next() {
		t, err := scanTask(r.rows)
		if err != nil {
			return nil, err
		}
		if r.decoded++; r.decoded > pageDecoded+p.limit {
			r.low = t.ord + 1
			return nil, nil
		}
		if !p.inMemory(t.ord) {
			t.gone = t.gone || p.gone[t.ID]
			return t, nil
		}
	}
	return nil, r.rows.Err()
}

// inMemory says whether memory has a task. It is asked by falling ord.
func (p *page) inMemory(ord int64) bool {
	for len(p.known) > 0 && p.known[0] > ord {
		p.known = p.known[1:]
	}
	return len(p.known) > 0 && p.known[0] == ord
}

func (r *taskRows) close() { _ = r.rows.Close() }

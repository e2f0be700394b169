package history

import (
	"bytes"
	"compress/flate"
	"context"
	"database/sql"
	"errors"
	"io"
)

// columns are what scanTask reads, in this order.
const columns = "tasks.ord, id, state, module, action, lock, tasks.caller, end_user, created, ended_seq, gone, body"

// scanTask reads a row of columns.
func scanTask(row interface{ Scan(...any) error }) (*task, error) {
	t := new(task)
	var created int64
	var text []byte
	err := row.Scan(&t.ord, &t.ID, &t.State, &t.Module, &t.Action, &t.Lock, &t.Caller, &t.EndUser,
		&created, &t.endedSeq, &t.gone, &text)
	if err != nil {
		return nil, err
	}
	t.Created = fromMillis(created)
	return t, t.decodeBody(text)
}

// task finds an ended task whose end is recorded after floor; nil: none.
func (s *store) task(ctx context.Context, id string, floor uint64) (*task, error) {
	t, err := scanTask(s.byID.QueryRowContext(ctx, id, int64(floor)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return t, err
}

// lines reads the chunk that holds record from, or else the next one, and the
// number of its last record; nil if there is none. Records before from may stand
// in it.
func (s *store) lines(ctx context.Context, from uint64) (texts [][]byte, last uint64, err error) {
	var packed []byte
	err = s.reader.QueryRowContext(ctx, "SELECT last, lines FROM events WHERE last >= ? ORDER BY last LIMIT 1", int64(from)).
		Scan(&last, &packed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		return nil, 0, err
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\n'}), last, nil
}

// firstSince gives an ord below which no task was created at or after a time.
func (s *store) firstSince(ctx context.Context, ms int64) (int64, error) {
	var last int64
	err := s.reader.QueryRowContext(ctx, "SELECT last FROM events WHERE latest < ? ORDER BY latest DESC, last DESC LIMIT 1", ms).Scan(&last)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return ordOf(uint64(last)+1, 0), err
}

// zero lets a NULL be read as 0.
type zero struct{ to *int64 }

func orZero(to *int64) sql.Scanner { return zero{to} }

func (z zero) Scan(v any) error {
	*z.to, _ = v.(int64)
	return nil
}

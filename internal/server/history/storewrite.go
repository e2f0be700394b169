package history

import (
	"database/sql"
	"io"
)

const (
	chunkBytes  = 64 << 10 // lines after which a chunk is cut
	collectRows = 200      // rows that one pass of collect deletes at most
)

// write commits a batch.
func (s *store) write(b *batch) error {
	tx, err := s.writer.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // without effect after a commit
	if err := s.writeTasks(tx, b); err != nil {
		return err
	}
	if err := s.writeLines(tx, b.lines); err != nil {
		return err
	}
	_, err = tx.Stmt(s.meta).Exec(int64(b.last), hashOf(b.lastLine), b.latest, int64(b.floor))
	if err != nil {
		return err
	}
	return tx.Commit()
}

func (s *store) writeTasks(tx *sql.Tx, b *batch) error {
	upsert, party, gone := tx.Stmt(s.upsert), tx.Stmt(s.party), tx.Stmt(s.gone)
	for _, t := range b.tasks {
		text, err := t.encodeBody()
		if err != nil {
			return err
		}
		_, err = upsert.Exec(t.ord, t.ID, string(t.State), t.Module, t.Action, t.Lock, string(t.Caller), t.EndUser,
			millis(t.Created), int64(t.endedSeq), text)
		if err != nil {
			return err
		}
		for _, c := range t.Joined {
			if _, err := party.Exec(string(c), t.ord); err != nil {
				return err
			}
		}
	}
	for id := range b.gone {
		if _, err := gone.Exec(id); err != nil {
			return err
		}
	}
	return nil
}

// writeLines writes records in chunks.
func (s *store) writeLines(tx *sql.Tx, lines []line) error {
	for len(lines) > 0 {
		n, size := 1, len(lines[0].text)
		for n < len(lines) && size < chunkBytes && !lines[n].head {
			size += len(lines[n].text)
			n++
		}
		packed, err := s.pack(lines[:n])
		if err != nil {
			return err
		}
		last := lines[n-1]
		if _, err := tx.Stmt(s.chunk).Exec(int64(last.seq), last.latest, packed); err != nil {
			return err
		}
		lines = lines[n:]
	}
	return nil
}

// pack gives a chunk's bytes, good until the next call.
func (s *store) pack(lines []line) ([]byte, error) {
	s.packed.Reset()
	s.deflate.Reset(&s.packed)
	for _, l := range lines {
		if _, err := s.deflate.Write(l.text); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(s.deflate, "\n"); err != nil {
			return nil, err
		}
	}
	err := s.deflate.Close()
	return s.packed.Bytes(), err
}

// collect deletes some of what is retired; readers pass it over already. It
// says whether there is more.
func (s *store) collect(floor uint64) (more bool, err error) {
	if floor == 0 {
		return false, nil
	}
	tx, err := s.writer.Begin()
	if err != nil {
		return false, err
	}
	defer tx.Rollback() // without effect after a commit
	for _, statement := range []string{
		`DELETE FROM tasks WHERE ord IN (SELECT ord FROM tasks WHERE ord < (?1 + 1) << 17 AND ended_seq BETWEEN 1 AND ?1 ORDER BY ord LIMIT ?2)`,
		`DELETE FROM events WHERE last IN (SELECT last FROM events WHERE last <= ?1 ORDER BY last LIMIT ?2)`,
	} {
		result, err := tx.Exec(statement, int64(floor), collectRows)
		if err != nil {
			return false, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return false, err
		}
		more = more || n == collectRows
	}
	return more, tx.Commit()
}

package history

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"deputy"
)

//go:embed schema.sql
var schema string

// migrations makes a database of any older version one of this version:
// PRAGMA user_version counts how many of them it has seen. Only ever append.
func migrations() []string { return []string{schema} }

// store is the database. Its write and collect belong to the writer goroutine.
type store struct {
	memory bool    // it is on no disk
	writer *sql.DB // one connection
	reader *sql.DB // few connections that cannot write
	byID   *sql.Stmt

	upsert, party, gone, chunk, meta *sql.Stmt

	deflate *flate.Writer
	packed  bytes.Buffer
}

// known is what a database remembers.
type known struct {
	last   uint64
	hash   string
	latest int64
	floor  uint64
	top    int64   // highest ord
	live   []*task // by rising ord
}

// openOrReplace opens the database at path, or makes an empty one in the place
// of one that cannot be used. The folder itself must be there and writable. On a
// full disk, where SQLite can open nothing (it needs some room beside a database
// to read it), what is there is left alone, and the empty one is in memory.
func openOrReplace(path string) (*store, *known, error) {
	s, k, err := openStore(path)
	if err == nil {
		return s, k, nil
	}
	if _, lost := os.Stat(filepath.Dir(path)); lost != nil {
		return nil, nil, lost
	}
	if !isCorrupt(err) && !roomFor(path) {
		return openStore(memoryPrefix + rand.Text())
	}
	removeDatabase(path)
	s, k, again := openStore(path)
	if again != nil {
		return nil, nil, again
	}
	return s, k, nil
}

// memoryPrefix stands before the name of a database in memory, where all
// connections of this process find it by its name.
const memoryPrefix = "memory:"

// leastRoom is what must be free on a disk for a database to be opened and
// written for a while, in bytes.
const leastRoom = 4 << 20

func removeDatabase(path string) {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		_ = os.RemoveAll(path + suffix) // whatever stands there; what stays is met again by the next open
	}
}

func openStore(path string) (*store, *known, error) {
	w, err := connect(path, "_txlock=immediate", 1)
	if err != nil {
		return nil, nil, err
	}
	if err := migrate(w, migrations()); err != nil {
		w.Close()
		return nil, nil, err
	}
	r, err := connect(path, "_pragma=query_only(1)", 4)
	if err != nil {
		w.Close()
		return nil, nil, err
	}
	s := &store{writer: w, reader: r, memory: strings.HasPrefix(path, memoryPrefix)}
	s.deflate, _ = flate.NewWriter(&s.packed, flate.BestSpeed) // fails for an unknown level only
	if err = s.prepare(); err == nil {
		var k *known
		if k, err = s.recall(); err == nil {
			return s, k, nil
		}
	}
	s.close()
	return nil, nil, err
}

// connect opens a pool. A commit is not synced (the journal has it), so after a
// loss of power the newest may be missing, but never the order broken.
func connect(path, options string, conns int) (*sql.DB, error) {
	if name, memory := strings.CutPrefix(path, memoryPrefix); memory {
		path, options = "/"+name, "vfs=memdb&"+options
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	slashed := filepath.ToSlash(abs)
	if !strings.HasPrefix(slashed, "/") { // a drive stands behind a slash: file:///C:/…
		slashed = "/" + slashed
	}
	u := url.URL{Scheme: "file", Path: slashed, RawQuery: "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(NORMAL)&_pragma=wal_autocheckpoint(4000)&_pragma=temp_store(MEMORY)&" + options}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if conns > 1 {
		db.SetConnMaxIdleTime(time.Minute) // each costs up to 2 MiB of cache
	}
	return db, nil
}

// migrate brings a database up to date. One of a newer version is refused.
func migrate(db *sql.DB, steps []string) error {
	var version int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("its version %d is newer than %d", version, len(steps))
	}
	for ; version < len(steps); version++ {
		step := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", steps[version], version+1)
		if _, err := db.Exec(step); err != nil {
			return fmt.Errorf("cannot migrate to version %d: %w", version+1, err)
		}
	}
	return nil
}

func (s *store) prepare() (err error) {
	for _, p := range []struct {
		to   **sql.Stmt
		db   *sql.DB
		text string
	}{
		{&s.byID, s.reader, "SELECT " + columns + " FROM tasks WHERE id = ? AND ended_seq > ?"},
		{&s.upsert, s.writer, `INSERT INTO tasks (ord, id, state, module, action, lock, caller, end_user, created, ended_seq, body)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (ord) DO UPDATE SET state = excluded.state, ended_seq = excluded.ended_seq, body = excluded.body`},
		{&s.party, s.writer, "INSERT OR IGNORE INTO parties (caller, ord) VALUES (?, ?)"},
		{&s.gone, s.writer, "UPDATE tasks SET gone = 1 WHERE id = ?"},
		{&s.chunk, s.writer, "INSERT INTO events (last, latest, lines) VALUES (?, ?, ?)"},
		{&s.meta, s.writer, "UPDATE meta SET last = ?, hash = ?, latest = ?, floor = ?"},
	} {
		if *p.to, err = p.db.Prepare(p.text); err != nil {
			return err
		}
	}
	return nil
}

// recall reads what the database was made from, and the tasks that live.
func (s *store) recall() (*known, error) {
	k := new(known)
	err := s.reader.QueryRow("SELECT last, hash, latest, floor, (SELECT max(ord) FROM tasks) FROM meta").
		Scan(&k.last, &k.hash, &k.latest, &k.floor, orZero(&k.top))
	if err != nil {
		return nil, err
	}
	live, states := inStates(deputy.LiveStates())
	rows, err := s.reader.Query("SELECT "+columns+" FROM tasks WHERE state "+live+" AND "+inStateIndex+" ORDER BY ord", states...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		t, err := scanTask(rows)
		if err != nil {
			return nil, err
		}
		k.live = append(k.live, t)
	}
	return k, rows.Err()
}

func (s *store) close() error {
	return errors.Join(s.reader.Close(), s.writer.Close())
}

// isCorrupt says whether an error means that the file is not, or no longer, a
// sound database: it must be built again.
func isCorrupt(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff // the primary one
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

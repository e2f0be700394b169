package history

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"deputy"
)

// TestMain runs this binary as a writer that is to be killed, if asked to.
func TestMain(m *testing.M) {
	if path := os.Getenv("HISTORY_TEST_WRITER"); path != "" {
		if err := writeUntilKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// testJournal is the same records in every process.
func testJournal(n int) *journal {
	j, r := newJournal(), rand.New(rand.NewPCG(7, 7))
	var live []string
	j.random(r, n, &live, func(uint64, []byte) {})
	return j
}

const killedRecords = 6000

func writeUntilKilled(path string) error {
	h, err := Open(path)
	if err != nil {
		return err
	}
	j := testJournal(killedRecords)
	fmt.Println(h.Next())
	for seq := h.Next(); seq <= killedRecords; seq++ {
		if err := h.Apply(seq, j.text[seq-1]); err != nil {
			return err
		}
	}
	return h.Close()
}

// TestKilledWriter kills a process that applies records, again and again; the
// next one goes on from what is committed, and the result is the whole journal.
func TestKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	r := rand.New(rand.NewPCG(1, 2))
	kills, next := 0, uint64(0) // it ends by itself at the latest when it is killed no more
	for done := false; !done; {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "HISTORY_TEST_WRITER="+path)
		c.Stderr = os.Stderr
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var from uint64
		if _, err := fmt.Fscan(bufio.NewReader(out), &from); err != nil {
			t.Fatal(err)
		}
		if from < next {
			t.Fatalf("record %d was committed, then the next one was %d", next-1, from)
		}
		next = from
		var timer *time.Timer
		if kills < 6 {
			timer = time.AfterFunc(ms(r.IntN(100)), func() { c.Process.Kill() })
		}
		err = c.Wait()
		if timer != nil {
			timer.Stop()
		}
		if done = err == nil; !done {
			kills++
		}
	}
	h := openTest(t, path)
	if h.Next() != killedRecords+1 {
		t.Fatalf("next is %d", h.Next())
	}
	check(t, h, fold(t, testJournal(killedRecords).text))
}

// TestReopened closes and opens at random points, and compares each time with
// what a single reading of all records gives.
func TestReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	r, j := rand.New(rand.NewPCG(3, 4)), newJournal()
	var live []string
	h := openTest(t, path)
	for range 8 {
		j.random(r, r.IntN(300), &live, func(seq uint64, line []byte) {
			if err := h.Apply(seq, line); err != nil {
				t.Fatal(err)
			}
			if r.IntN(100) == 0 {
				h.flush(context.Background())
			}
		})
		check(t, h, fold(t, j.text))
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		h = openTest(t, path)
		if h.Next() != j.seq+1 {
			t.Fatalf("next is %d after %d records", h.Next(), j.seq)
		}
		check(t, h, fold(t, j.text))
	}
}

// TestReplaced opens what is no database of this version: it is replaced by an
// empty one, and works.
func TestReplaced(t *testing.T) {
	build := func(path string) {
		h, j := openTest(t, path), newJournal()
		fill(t, h, j, 50)
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, spoil := range map[string]func(path string) error{
		"no database": func(path string) error { return os.WriteFile(path, []byte("hello, world"), 0o600) },
		"a folder":    func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"cut":         func(path string) error { return os.Truncate(path, 5000) },
		"overwritten": func(path string) error { return os.WriteFile(path, noise(100_000), 0o600) },
		"newer":       func(path string) error { return execSQL(path, "PRAGMA user_version = 99") },
		"no meta":     func(path string) error { return execSQL(path, "DELETE FROM meta") },
		"no table":    func(path string) error { return execSQL(path, "DROP TABLE parties") },
		"bad body":    func(path string) error { return execSQL(path, "UPDATE tasks SET state = 'running', body = '{'") },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			build(path)
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			h := openTest(t, path)
			if h.Next() != 1 {
				t.Fatalf("next is %d", h.Next())
			}
			j := newJournal()
			fill(t, h, j, 3)
			if list := all(t, h, Query{Limit: 10}, nil, nil); len(list) != 3 {
				t.Fatalf("%d tasks", len(list))
			}
		})
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func execSQL(path, statement string) error {
	db, err := connect(path, "", 1)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(statement)
	return err
}

func TestNoFolder(t *testing.T) {
	if h, err := Open(filepath.Join(t.TempDir(), "none", "history.db")); err == nil {
		h.Close()
		t.Fatal("opened in a folder that is not there")
	}
}

// TestForeign gives the database records of another journal: it is emptied,
// says so, and then takes them in from the first.
func TestForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h := openTest(t, path)
	fill(t, h, newJournal(), 10)
	h.Close()

	other := testJournal(200)
	h = openTest(t, path)
	next := h.Next()
	if err := h.Apply(next, other.text[next-1]); !errors.Is(err, ErrForeign) {
		t.Fatalf("a record of another journal: %v", err)
	}
	if h.Next() != 1 {
		t.Fatalf("next is %d", h.Next())
	}
	for i, line := range other.text {
		if err := h.Apply(uint64(i+1), line); err != nil {
			t.Fatal(err)
		}
	}
	check(t, h, fold(t, other.text))
	h.Close()
	h = openTest(t, path)
	check(t, h, fold(t, other.text))
}

// TestTheLastRecordAgain shows an index the last record that it has, at first:
// the same one changes nothing, and one of another journal empties it.
func TestTheLastRecordAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	j, other := testJournal(12), newJournal()
	h := openTest(t, path)
	if h.From() != 1 {
		t.Errorf("an empty index is to be fed from %d", h.From())
	}
	for i, line := range j.text[:10] {
		if err := h.Apply(uint64(i+1), line); err != nil {
			t.Fatal(err)
		}
	}
	h.Close()
	h = openTest(t, path)
	if h.From() != 10 {
		t.Errorf("an index of 10 records is to be fed from %d", h.From())
	}
	for i, line := range j.text[9:] {
		if err := h.Apply(uint64(i+10), line); err != nil {
			t.Fatal(err)
		}
	}
	check(t, h, fold(t, j.text))
	if err := h.Apply(12, j.text[11]); err == nil {
		t.Error("a record was taken twice")
	}
	h.Close()

	for len(other.text) < 12 {
		other.add(deputy.Event{Type: deputy.MonitorStart, Boot: "another"})
	}
	h = openTest(t, path)
	defer h.Close()
	if err := h.Apply(12, other.text[11]); !errors.Is(err, ErrForeign) || h.From() != 1 {
		t.Errorf("the last record is another one: %v, to be fed from %d", err, h.From())
	}
}

// TestBehindRetention meets a journal whose next segments are gone already.
func TestBehindRetention(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	j := testJournal(200)
	h := openTest(t, path)
	for i, line := range j.text[:100] {
		if err := h.Apply(uint64(i+1), line); err != nil {
			t.Fatal(err)
		}
	}
	h.Close()
	h = openTest(t, path)
	if err := h.Apply(150, j.text[149]); !errors.Is(err, ErrForeign) {
		t.Fatalf("a record far ahead: %v", err)
	}
	for seq := uint64(150); seq <= 200; seq++ { // an empty index takes what there is
		if err := h.Apply(seq, j.text[seq-1]); err != nil {
			t.Fatal(err)
		}
	}
	check(t, h, fold(t, j.text[149:]))
}

func TestOrderIsKept(t *testing.T) {
	j := testJournal(10)
	for name, bad := range map[string]struct {
		seq  uint64
		line []byte
	}{
		"again":        {3, j.text[2]},
		"left out":     {5, j.text[4]},
		"other number": {4, j.text[4]},
		"not JSON":     {4, []byte(`{"seq":4`)},
		"no type":      {4, []byte(`{"seq":4}`)},
	} {
		t.Run(name, func(t *testing.T) {
			h := openTest(t, filepath.Join(t.TempDir(), "history.db"))
			for i := range 3 {
				if err := h.Apply(uint64(i+1), j.text[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.Apply(bad.seq, bad.line); err == nil || h.Applied() != 3 {
				t.Fatalf("applied (%v), now at %d", err, h.Applied())
			}
		})
	}
}

func TestReset(t *testing.T) {
	h, j := openTest(t, filepath.Join(t.TempDir(), "history.db")), newJournal()
	id := j.id()
	mustApply(t, h, j, j.accepted(id))
	changed := h.Changed(id)
	if err := h.Reset(); err != nil {
		t.Fatal(err)
	}
	<-changed
	if _, ok, err := h.Task(context.Background(), id); ok || err != nil || h.Next() != 1 {
		t.Fatal(ok, err, h.Next())
	}
	fill(t, h, newJournal(), 3)
	if list := all(t, h, Query{Limit: 10}, nil, nil); len(list) != 3 {
		t.Fatalf("%d tasks", len(list))
	}
}

// TestMigrations brings a database through later versions, once each.
func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h := openTest(t, path)
	fill(t, h, newJournal(), 5)
	h.Close()
	db, err := connect(path, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	later := append(migrations(), "ALTER TABLE meta ADD COLUMN a INTEGER;", "ALTER TABLE meta ADD COLUMN b INTEGER;")
	for range 2 {
		if err := migrate(db, later); err != nil {
			t.Fatal(err)
		}
	}
	var version, tasks int
	if err := db.QueryRow("SELECT (SELECT count(*) FROM tasks), user_version FROM pragma_user_version, meta WHERE a IS b").Scan(&tasks, &version); err != nil {
		t.Fatal(err)
	}
	if tasks != 5 || version != len(later) {
		t.Fatalf("%d tasks, version %d", tasks, version)
	}
	if err := migrate(db, append(later, "ALTER TABLE none ADD COLUMN c;")); err == nil {
		t.Fatal("a migration that fails was taken as done")
	}
	if err := migrate(db, later); err != nil {
		t.Fatalf("after a failed migration: %v", err)
	}
}

// TestRetired deletes the first segments, and compares with an index that is
// built from the rest of the journal alone.
func TestRetired(t *testing.T) {
	dir := t.TempDir()
	r, j := rand.New(rand.NewPCG(5, 6)), newJournal()
	var live []string
	h := openTest(t, filepath.Join(dir, "history.db"))
	apply := func(seq uint64, line []byte) {
		if err := h.Apply(seq, line); err != nil {
			t.Fatal(err)
		}
	}
	j.random(r, 1200, &live, apply)
	o := fold(t, j.text)
	cut := j.seq
	line := j.add(deputy.Event{Type: deputy.Checkpoint, Checkpoint: checkpointOf(t, o, live)})
	apply(j.seq, line)
	j.random(r, 300, &live, apply)
	if err := h.flush(context.Background()); err != nil { // so that retired rows are in the database
		t.Fatal(err)
	}
	line = j.add(deputy.Event{Type: deputy.Retired, From: 1, To: cut, Head: "x"})
	apply(j.seq, line)
	j.random(r, 20, &live, apply)

	o = fold(t, j.text)
	for id, last := range o.last {
		if last <= cut {
			delete(o.tasks, id)
		}
	}
	o.seqs = o.seqs[cut:]
	retired := o.order[0]
	check(t, h, o)
	if _, ok, err := h.Task(context.Background(), retired); ok != (o.tasks[retired] != nil) || err != nil {
		t.Fatal(ok, err)
	}
	if err := h.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "retired rows deleted", func() bool { return count(t, h, "SELECT count(*) FROM events WHERE last <= ?", cut) == 0 })
	waitFor(t, "retired tasks deleted", func() bool {
		return count(t, h, "SELECT count(*) FROM tasks WHERE ended_seq BETWEEN 1 AND ?", cut) == 0
	})
	orphans := count(t, h, "SELECT count(*) FROM parties WHERE ord NOT IN (SELECT ord FROM tasks)")
	if orphans != 0 {
		t.Fatalf("%d parties of tasks that are gone", orphans)
	}
	check(t, h, o)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if h = openTest(t, filepath.Join(dir, "history.db")); h.floor != cut {
		t.Fatalf("retired up to %d, remembered %d", cut, h.floor)
	}
	check(t, h, o)

	anew := openTest(t, filepath.Join(dir, "anew.db"))
	for seq := cut + 1; seq <= j.seq; seq++ {
		if err := anew.Apply(seq, j.text[seq-1]); err != nil {
			t.Fatal(err)
		}
	}
	check(t, anew, o)
	if err := anew.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, openTest(t, filepath.Join(dir, "anew.db")), o)
}

// checkpointOf is what the monitor writes of its live tasks.
func checkpointOf(t *testing.T, o *oracle, live []string) json.RawMessage {
	tasks := map[string]any{}
	for _, id := range live {
		task := o.tasks[id]
		from := map[string]any{"id": id, "module": task.Module, "action": task.Action, "params": task.Params, "lock": task.Lock,
			"caller": task.Caller, "joined": task.Parties, "created": task.Created, "started": task.Started, "attempt": 1, "seq": o.born[id]}
		if task.EndUser != nil {
			from["end_user"] = *task.EndUser
		}
		if task.Attempt > 0 {
			from["leaf"] = id + ".1"
		}
		if task.State == deputy.Stopping {
			from["stop_as"] = "stopped"
		}
		tasks[id] = from
	}
	text, err := json.Marshal(map[string]any{"tasks": tasks, "keys": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func count(t testing.TB, h *History, query string, args ...any) (n int) {
	t.Helper()
	if err := h.store.reader.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// waitFor polls until something is so.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

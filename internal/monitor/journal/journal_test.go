package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"deputy"
)

// accepted is a record of the usual kind and size.
func accepted(i int) *deputy.Event {
	lock := fmt.Sprint(i)
	return &deputy.Event{Type: deputy.Accepted, Caller: "uid:33", EndUser: "alice", Module: "service", Action: "restart", Rule: "site.toml:7",
		Policy: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		Tasks: []deputy.TaskRecord{{ID: fmt.Sprintf("0192a1b2-c3d4-7e5f-8a9b-%012d", i), Params: map[string]any{"unit": "a<b>&\u2028\n.service", "id": int64(1<<62 + 1)}, Lock: &lock,
			Run: json.RawMessage(`{"timeout": 86400, "argv": ["/usr/bin/systemctl", "restart"]}`)}}}
}

func mustOpen(t testing.TB, dir string, o Options) (*Journal, *Recovered) {
	t.Helper()
	j, r, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, r
}

func mustClose(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func appendN(t testing.TB, j *Journal, n int) {
	t.Helper()
	for i := range n {
		j.Append(accepted(i))
	}
	if err := j.Flush(); err != nil {
		t.Fatal(err)
	}
}

func mustVerify(t testing.TB, dir string, heads ...Head) *Report {
	t.Helper()
	r, err := Verify(dir, heads, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() {
		t.Fatalf("faults in an honest journal: %v", r.Faults)
	}
	return r
}

func replayed(t testing.TB, r *Recovered) (list []*deputy.Event) {
	t.Helper()
	if err := r.Replay(func(e *deputy.Event) error { list = append(list, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func readAll(t testing.TB, j *Journal, from uint64) (lines []string) {
	t.Helper()
	r, err := j.ReadFrom(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		got, _, err := r.Next(7)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			return lines
		}
		for _, line := range got {
			lines = append(lines, string(line))
		}
	}
}

func TestAppendReopenReplay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	o := Options{Now: func() time.Time { return now }, Checkpoint: func() *deputy.Event {
		return &deputy.Event{Policy: "p", Files: []deputy.PolicyFile{{Path: "a", Text: "b"}}, Checkpoint: json.RawMessage(`{"tasks": [1]}`)}
	}}
	j, r := mustOpen(t, dir, o)
	if r.File != "" || len(replayed(t, r)) != 0 || j.Durable() != 0 || len(j.Segments()) != 0 {
		t.Fatalf("a new journal is not empty: %+v", r)
	}
	first := accepted(1)
	if seq := j.Append(first); seq != 2 || first.Seq != 2 || len(first.Prev) != 64 || first.Time.String() != "2026-03-01T11:00:00.123Z" {
		t.Fatalf("appended as %d: %+v", seq, first)
	}
	appendN(t, j, 3)
	mustClose(t, j)
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("folder has mode %v", info.Mode())
	}
	if info, err := os.Stat(filepath.Join(dir, "00000000000000000001.jsonl")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("segment: %v %v", info, err)
	}

	j, r = mustOpen(t, dir, o)
	events := replayed(t, r)
	if len(events) != 5 || r.Records != 5 || r.Head.Seq != 5 || len(r.Cuts) != 0 {
		t.Fatalf("recovered %+v with %d records", r, len(events))
	}
	if c := events[0]; c.Type != deputy.Checkpoint || c.Format != Format || c.Seq != 1 || c.Prev != "" || string(c.Checkpoint) != `{"tasks":[1]}` || c.Files[0].Text != "b" {
		t.Errorf("checkpoint %+v", c)
	}
	if e := events[1]; !e.Time.Equal(now.Truncate(time.Millisecond)) || e.Tasks[0].Params["unit"] != "a<b>&\u2028\n.service" || e.Tasks[0].Params["id"] != deputy.Number("4611686018427387905") {
		t.Errorf("record %+v", e)
	}
	if seq := j.Append(accepted(9)); seq != 6 {
		t.Errorf("appended as %d", seq)
	}
	if err := j.Flush(); err != nil || j.Durable() != 6 {
		t.Errorf("durable %d, %v", j.Durable(), err)
	}
	head, err := Export(dir) // while it is open
	if err != nil || head.Seq != 6 {
		t.Fatalf("exported %v, %v", head, err)
	}
	if r := mustVerify(t, dir, head); r.Records != 6 || r.Head != head {
		t.Errorf("report %+v", r)
	}
	again, err := ParseHead(head.String() + "\n")
	if err != nil || again.String() != head.String() {
		t.Errorf("head %v read as %v, %v", head, again, err)
	}
	mustClose(t, j)
	j.Append(accepted(1))
	if err := j.Flush(); err == nil {
		t.Error("appended to a closed journal")
	}
}

func TestParseHeadRefuses(t *testing.T) {
	sum := strings.Repeat("0f", 32)
	for _, text := range []string{"", "deputy-head 1 5 " + sum, "deputy-head 2 5 " + sum + " 2026-01-02T15:04:05.000Z", "deputy-head 1 0 " + sum + " 2026-01-02T15:04:05.000Z",
		"deputy-head 1 5 " + strings.ToUpper(sum) + " 2026-01-02T15:04:05.000Z", "deputy-head 1 5 " + sum[2:] + " 2026-01-02T15:04:05.000Z", "deputy-head 1 5 " + sum + " yesterday"} {
		if h, err := ParseHead(text); err == nil || !strings.HasPrefix(err.Error(), "cannot read head") {
			t.Errorf("%q gave %v, %v", text, h, err)
		}
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	j, _ := mustOpen(t, dir, Options{})
	want := fmt.Sprintf("cannot open journal: another deputyd holds it (pid %d)", os.Getpid())
	if _, _, err := Open(dir, Options{}); err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	mustClose(t, j)
	mustOpen(t, dir, Options{})
}

// resume resumes, and waits for how it went.
func resume(j *Journal) (from, to uint64, err error) {
	if from, to, err = j.Resume(); err == nil {
		if err = j.Flush(); (err == nil) != j.Resumed() {
			return from, to, fmt.Errorf("flushed with %v, and resumed: %v", err, j.Resumed())
		}
	}
	return from, to, err
}

// retire has the oldest n segments removed, as the monitor does.
func retire(j *Journal, n int) error {
	events, err := j.Retirement(n)
	if err != nil {
		return err
	}
	for _, e := range events {
		j.Append(e)
	}
	return errors.Join(j.Flush(), j.Remove(n))
}

func TestSegmentsAndRetire(t *testing.T) {
	dir := t.TempDir()
	o := Options{SegmentSize: 2000}
	j, _ := mustOpen(t, dir, o)
	appendN(t, j, 40)
	all := readAll(t, j, 1)
	list := j.Segments()
	if len(list) < 6 || len(all) != int(j.Durable()) {
		t.Fatalf("%d segments, %d lines of %d", len(list), len(all), j.Durable())
	}
	mustVerify(t, dir)
	mustClose(t, j)

	j, _ = mustOpen(t, dir, o) // now everything is read from the files
	if got := readAll(t, j, 1); strings.Join(got, "\n") != strings.Join(all, "\n") {
		t.Error("lines from disk differ from lines from memory")
	}
	for from := range all {
		if got := readAll(t, j, uint64(from+1)); strings.Join(got, "\n") != strings.Join(all[from:], "\n") {
			t.Fatalf("from %d: %d lines", from+1, len(got))
		}
	}
	for i, s := range j.Segments() {
		if s.First != list[i].First || s.Last != list[i].Last || s.Bytes != list[i].Bytes || s.head != list[i].head || s.Time.Before(list[i].Time) {
			t.Errorf("segment %d: %+v, was %+v", i, s, list[i])
		}
	}
	slow, _ := j.ReadFrom(1)
	defer slow.Close()
	if lines, _, err := slow.Next(1); len(lines) != 1 || err != nil {
		t.Fatal(lines, err)
	}
	early, _ := Export(dir)
	if err := retire(j, len(list)); err == nil {
		t.Error("retired the live segment")
	}
	if err := retire(j, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(list[1].File); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("retired file: %v", err)
	}
	if got := readAll(t, j, 1); got[0] != all[list[2].First-1] {
		t.Errorf("reading begins with %s", got[0])
	}
	for want := uint64(2); ; { // the open file may still be read; then the next that exists
		lines, next, err := slow.Next(1)
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) == 0 {
			break
		}
		if readHead(lines[0]).seq != want && want != list[0].Last+1 {
			t.Fatalf("got %s, want %d", lines[0], want)
		}
		want = next
	}
	r := mustVerify(t, dir, early, Head{Seq: 1, Hash: strings.Repeat("0", 64)})
	if r.First != list[2].First || len(r.Retired) != 1 {
		t.Errorf("report %+v", r)
	}
	mustClose(t, j)
	if err := os.Remove(list[2].File); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(dir, nil, nil); err != nil || r.OK() || !strings.Contains(r.Faults[0].What, "retired") {
		t.Errorf("removed first segment: %+v, %v", r, err)
	}
	j, _ = mustOpen(t, dir, o)
	if _, err := j.ReadFrom(j.Durable() + 2); err == nil {
		t.Error("read beyond the end")
	}
}

// A checkpoint larger than a segment must not make a segment of each record.
func TestLargeCheckpoint(t *testing.T) {
	dir := t.TempDir()
	state, _ := json.Marshal(strings.Repeat("x", 3<<20))
	o := Options{SegmentSize: 1 << 20, Checkpoint: func() *deputy.Event { return &deputy.Event{Checkpoint: state} }}
	j, _ := mustOpen(t, dir, o)
	appendN(t, j, 100)
	if n := len(j.Segments()); n != 1 {
		t.Errorf("%d segments", n)
	}
	mustClose(t, j)
	j, r := mustOpen(t, dir, o)
	if got := replayed(t, r); len(got) != 101 || len(got[0].Checkpoint) != len(state) {
		t.Errorf("%d records", len(got))
	}
	if got := readAll(t, j, 1); len(got) != 101 {
		t.Errorf("%d lines", len(got))
	}
	mustVerify(t, dir)
}

// One appends and retires, four read from the start, Verify looks on.
func TestConcurrentReaders(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	changed := sync.NewCond(&mu)
	j, _ := mustOpen(t, dir, Options{SegmentSize: 64 << 10, Notify: func() { mu.Lock(); changed.Broadcast(); mu.Unlock() }})
	const total = 5000
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			r, err := j.ReadFrom(1)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			want, prev := uint64(1), ""
			for want <= total {
				lines, next, err := r.Next(100)
				if err != nil {
					t.Error(err)
					return
				}
				for _, line := range lines {
					got := readRecord(line)
					if want != 1 && got.seq > want { // retired under it
						want, prev = got.seq, ""
					}
					if got.seq != want || prev != "" && !bytes.Contains(line, []byte(prev)) {
						t.Errorf("got %d, want %d behind %s", got.seq, want, prev)
						return
					}
					want, prev = want+1, got.head().Hash
				}
				if next > j.Durable()+1 {
					t.Errorf("read %d before it was durable", next-1)
				}
				mu.Lock()
				for j.Durable() < min(next, total) {
					changed.Wait()
				}
				mu.Unlock()
			}
		})
	}
	for j.Append(accepted(0)) < total {
		if j.seq%500 == 0 {
			mustVerifyLive(t, dir)
		}
		if j.seq%2000 == 0 && len(j.Segments()) > 2 {
			if err := retire(j, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Flush(); err != nil {
		t.Fatal(err)
	}
	readers.Wait()
	head, err := Export(dir)
	if err != nil {
		t.Fatal(err)
	}
	mustVerify(t, dir, head)
}

func mustVerifyLive(t *testing.T, dir string) {
	t.Helper()
	if r, err := Verify(dir, nil, nil); err != nil || !r.OK() {
		t.Fatalf("verify of a live journal: %+v, %v", r, err)
	}
}

func TestUnencodableRecordIsAFailure(t *testing.T) {
	dir := t.TempDir()
	j, _ := mustOpen(t, dir, Options{})
	appendN(t, j, 2)
	bad := accepted(1)
	bad.Tasks[0].Run = json.RawMessage("{")
	j.Append(bad)
	j.Append(accepted(2))
	if err := j.Flush(); err == nil || j.Durable() != 3 {
		t.Fatalf("durable %d, %v", j.Durable(), err)
	}
	if from, to, err := resume(j); from != 4 || to != 5 || err != nil {
		t.Fatal(from, to, err)
	}
	appendN(t, j, 1)
	mustVerify(t, dir)
}

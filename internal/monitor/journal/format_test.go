package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"deputy"
)

// reformat has a journal of one segment say that it is of another format, with a
// chain that holds.
func reformat(t *testing.T, file string, format int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	prev := ""
	for i, line := range lines(text) {
		var e deputy.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Prev = prev; i == 0 {
			e.Format = format
		}
		record, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(record)
		prev = hex.EncodeToString(sum[:])
		out.Write(append(record, '\n'))
	}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAnOlderFormatIsRead: whoever finds a journal of the format before reads it,
// and begins a segment of its own with the first record.
func TestAnOlderFormatIsRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j, _ := mustOpen(t, dir, Options{})
	appendN(t, j, 3)
	mustClose(t, j)
	old := filepath.Join(dir, fmt.Sprintf("%020d.jsonl", 1))
	reformat(t, old, Format-1)
	before, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}

	j, r := mustOpen(t, dir, Options{})
	if got := replayed(t, r); len(got) != 4 || got[0].Format != Format-1 {
		t.Fatalf("replayed %d records", len(got))
	}
	if seq := j.Append(accepted(9)); seq != 6 {
		t.Errorf("the first record is %d, want 6, behind a checkpoint", seq)
	}
	mustClose(t, j)
	if after, err := os.ReadFile(old); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the old segment was written to: %v", err)
	}
	if report := mustVerify(t, dir); report.Segments != 2 {
		t.Errorf("%d segments", report.Segments)
	}

	j, r = mustOpen(t, dir, Options{})
	if got := replayed(t, r); len(got) != 2 || got[0].Format != Format || got[0].Type != deputy.Checkpoint {
		t.Errorf("the new segment begins with %+v", got[0])
	}
	if seq := j.Append(accepted(10)); seq != 7 {
		t.Errorf("one more segment was begun: record %d", seq)
	}
	mustClose(t, j)
}

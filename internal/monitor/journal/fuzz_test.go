package journal

import (
	"os"
	"path/filepath"
	"testing"

	"deputy"
)

// Arbitrary bytes in a segment give an error or a prefix of its lines, for all
// that read segments, and never a panic.
func FuzzRecord(f *testing.F) {
	good, _ := sample(f)
	names := good.names()
	data := good[names[0]]
	f.Add(data)
	f.Add(data[:len(data)-10])
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"seq":1,"prev":"","time":"2026-01-02T15:04:05.000Z","type":"checkpoint","format":1}` + "\n"))
	f.Add([]byte(`{"seq":1,"prev":"","time":"2026-01-02T15:04:05.000Z","type":"checkpoint","format":9}` + "\n\x00\x00"))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, names[0]), data, 0o600); err != nil {
			t.Fatal(err)
		}
		report, verifyErr := Verify(dir, nil, nil)
		_, _ = Export(dir)
		j, r, err := Open(dir, Options{})
		if err != nil {
			return
		}
		defer j.Close()
		if verifyErr != nil || !report.OK() && len(r.Cuts) == 0 {
			t.Fatalf("opened what verify refuses: %+v, %v", report, verifyErr)
		}
		kept, _ := os.ReadFile(filepath.Join(dir, names[0]))
		if string(kept) != string(data[:len(kept)]) || len(r.Cuts) == 0 && len(kept) != len(data) {
			t.Fatalf("kept %q", kept)
		}
		count := 0
		if err := r.Replay(func(*deputy.Event) error { count++; return nil }); err == nil && count != r.Records {
			t.Fatalf("replayed %d of %d", count, r.Records)
		}
		if got := readAll(t, j, 1); len(got) != r.Records {
			t.Fatalf("read %d of %d", len(got), r.Records)
		}
		j.Append(accepted(1))
		if err := j.Flush(); err != nil {
			t.Fatal(err)
		}
		mustVerify(t, dir)
	})
}

//go:build unix

package selftest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"deputy/internal/monitor/journal"
)

// editsTried is how many changes are made, each to a fresh copy.
const editsTried = 20

// edits verifies the journal against its exported head, then copies of it that
// were changed by one byte, or lack one record.
func edits(in *instance) (Line, error) {
	dir := in.path("state/journal")
	head, err := journal.Export(dir)
	if err != nil {
		return Line{}, err
	}
	report, err := journal.Verify(dir, []journal.Head{head}, nil)
	if err != nil {
		return Line{}, err
	}
	var wrong []string
	if !report.OK() {
		wrong = append(wrong, "the journal is not as it was written: "+report.Faults[0].String())
	}
	for i := range editsTried {
		what, err := edited(dir, in.path("copy"), i%2 == 0)
		if err != nil {
			return Line{}, fmt.Errorf("cannot change a copy of the journal: %w", err)
		}
		r, err := journal.Verify(in.path("copy"), []journal.Head{head}, nil)
		if err != nil {
			return Line{}, err
		}
		if r.OK() {
			wrong = append(wrong, what+" was not found")
		}
	}
	return verdict(8, wrong, "%d records verified; %d changes of copies, all found", report.Records, editsTried), nil
}

// edited makes a copy of the journal with one change before its end.
func edited(from, to string, cut bool) (what string, err error) {
	if err := os.RemoveAll(to); err != nil {
		return "", err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(from, "*.jsonl"))
	if err != nil {
		return "", err
	}
	victim := rand.IntN(len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if i == victim {
			lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
			n := rand.IntN(max(1, len(lines)-1)) // never the last: it may be being written
			if cut {
				what = fmt.Sprintf("the cut of record %d of %s", n+1, filepath.Base(file))
				lines[n] = nil
			} else {
				at := rand.IntN(len(lines[n]) - 1)
				what = fmt.Sprintf("the change of byte %d in record %d of %s", at, n+1, filepath.Base(file))
				lines[n] = bytes.Clone(lines[n])
				lines[n][at] ^= 1
			}
			text = append(bytes.Join(lines, nil), '\n')
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), text, 0o600); err != nil {
			return "", err
		}
	}
	return what, nil
}

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"deputy"
	"deputy/internal/output"
)

// outputReport is what was found of the outputs that are still kept.
type outputReport struct {
	Checked int           `json:"checked"`
	Without int           `json:"without_digest"` // recorded before there were digests
	Changed []changedFile `json:"changed"`
}

// changedFile is an output that is not what was recorded at its task's end.
type changedFile struct {
	Task   string `json:"task"`
	Stream string `json:"stream"`
	What   string `json:"what"`
}

// verifyOutputs holds each output that is kept beside a journal against the digest
// in the record of its task's end.
func verifyOutputs(journalDir string) (*outputReport, error) {
	dir := filepath.Join(filepath.Dir(filepath.Clean(journalDir)), "tasks")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot check outputs: %w; they lie beside the journal", err)
	}
	kept := map[string]bool{}
	for _, entry := range entries {
		kept[entry.Name()] = true
	}
	ends, err := endsOf(journalDir, kept)
	if err != nil {
		return nil, fmt.Errorf("cannot check outputs: %w", err)
	}
	r := &outputReport{Changed: []changedFile{}}
	for _, entry := range entries {
		id := entry.Name()
		if end := ends[id]; end != nil { // otherwise it lives
			r.check(dir, id, output.Stdout, end.Out)
			r.check(dir, id, output.Stderr, end.Err)
		}
	}
	return r, nil
}

// endsOf finds the last record of the end of each of some tasks.
func endsOf(journalDir string, wanted map[string]bool) (map[string]*deputy.Event, error) {
	files, err := filepath.Glob(filepath.Join(journalDir, "*.jsonl")) // sorted: one width
	if err != nil {
		return nil, err
	}
	ends := map[string]*deputy.Event{}
	for _, file := range files {
		err := eachLine(file, func(line []byte) {
			e := new(deputy.Event)
			if bytes.Contains(line, []byte(`"type":"ended"`)) && json.Unmarshal(line, e) == nil && e.Type == deputy.Ended && wanted[e.Task] {
				ends[e.Task] = e
			}
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // retired meanwhile
			return nil, err
		}
	}
	return ends, nil
}

func eachLine(path string, do func([]byte)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for in := bufio.NewReaderSize(file, 1<<20); ; {
		line, err := in.ReadBytes('\n')
		do(line)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// check compares one output with its record.
func (r *outputReport) check(dir, id, stream string, recorded *deputy.Output) {
	if recorded == nil {
		return
	}
	if recorded.SHA256 == "" && recorded.Bytes > 0 {
		r.Without++
		return
	}
	now, err := output.Digest(filepath.Join(dir, id), stream)
	what := ""
	switch {
	case errors.Is(err, fs.ErrNotExist) && recorded.Bytes == 0:
	case errors.Is(err, fs.ErrNotExist):
		what = "it is gone"
	case err != nil:
		what = err.Error()
	case now.Bytes != recorded.Bytes:
		what = fmt.Sprintf("it has %d bytes, and had %d", now.Bytes, recorded.Bytes)
	case now.SHA256 != recorded.SHA256 || now.SHA256Of != recorded.SHA256Of:
		what = "its SHA-256 is not the one that was recorded"
	}
	if recorded.Bytes > 0 || what != "" { // what stayed empty is no file
		r.Checked++
	}
	if what != "" {
		r.Changed = append(r.Changed, changedFile{id, stream, what})
	}
}

func (a *app) printOutputs(r *outputReport) {
	for _, c := range r.Changed {
		fmt.Fprintf(a.out, "task %s, %s: %s\n", c.Task, c.Stream, c.What)
	}
	verdict := a.style(a.outTerm, green, "good:")
	if len(r.Changed) > 0 {
		verdict = a.style(a.outTerm, red, "not as recorded:")
	}
	fmt.Fprintf(a.out, "%s outputs: %d checked, %d changed\n", verdict, r.Checked, len(r.Changed))
	if r.Without > 0 {
		fmt.Fprintf(a.out, "not checked: %d outputs of tasks that ended before their records had digests\n", r.Without)
	}
}

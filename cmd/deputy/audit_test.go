package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/journal"
)

// written gives the folder of a journal with 20 records behind its checkpoint.
func written(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state", "journal")
	j, _, err := journal.Open(dir, journal.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		j.Append(&deputy.Event{Type: deputy.Denied, Caller: "uid:33", Module: "service", Action: "restart"})
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// change rewrites the journal's only segment.
func change(t *testing.T, dir string, f func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*[0-9]*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], f(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAudit(t *testing.T) {
	dir := written(t)
	r := own(t, "/nowhere", "audit", "export", "--head", "--journal", dir)
	if r.status != 0 || !strings.HasPrefix(r.out, "deputy-head 1 21 ") {
		t.Fatal(r)
	}
	head := filepath.Join(t.TempDir(), "head")
	mustWrite(t, head, r.out)

	r = own(t, "/nowhere", "audit", "verify", "--journal", dir)
	if r.status != 0 || r.out != "good: "+dir+": records 1 to 21, segments: 1\n"+
		"without --head, a consistent rewrite or a cut of the end by root cannot be seen\n" {
		t.Error(r)
	}
	for _, given := range []string{head, strings.TrimSpace(read(t, head))} {
		if r = own(t, "/nowhere", "audit", "verify", "--journal", dir, "--head", given); r.status != 0 || strings.Contains(r.out, "without") {
			t.Error(r)
		}
	}
	// The running daemon says where its journal is.
	d := newDaemon()
	d.health = `{"status":"ok","state_dir":"` + filepath.Dir(dir) + `"}`
	if r = own(t, listen(t, d), "audit", "verify", "--json"); r.status != 0 || !strings.Contains(r.out, `"records": 21`) {
		t.Error(r)
	}

	// A cut of the tail shows only by the head.
	change(t, dir, func(text []byte) []byte {
		return text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1]
	})
	if r = own(t, "/nowhere", "audit", "verify", "--journal", dir); r.status != 0 {
		t.Error(r)
	}
	if r = own(t, "/nowhere", "audit", "verify", "--journal", dir, "--head", head); r.status != 1 || !strings.Contains(r.out, "not as it was written:") {
		t.Error(r)
	}
	// An edit shows by itself, at its record.
	change(t, dir, func(text []byte) []byte { return bytes.Replace(text, []byte("uid:33"), []byte("uid:34"), 1) })
	if r = own(t, "/nowhere", "audit", "verify", "--journal", dir); r.status != 1 || !strings.Contains(r.out, "record ") {
		t.Error(r)
	}
	if r = own(t, "/nowhere", "audit", "verify", "--json", "--journal", dir); r.status != 1 || !strings.Contains(r.out, `"faults"`) {
		t.Error(r)
	}
}

func TestAuditRefusals(t *testing.T) {
	r := own(t, "/nowhere", "audit", "verify", "--journal", written(t), "--head", "deputy-head 2 1 x y")
	if r.status != 1 || !strings.Contains(r.err, "cannot read head") {
		t.Error(r)
	}
	r = own(t, "/nowhere", "audit", "verify", "--journal", "/no/such/journal")
	if r.status != 1 || !strings.Contains(r.err, "name the journal's folder with --journal") {
		t.Error(r)
	}
	r = own(t, "/nowhere", "audit", "export", "--head", "--journal", "/no/such/journal")
	if r.status != 1 || !strings.Contains(r.err, "name the journal's folder with --journal") {
		t.Error(r)
	}
}

//go:build linux

package test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A record in the middle that is not as it was written stops the start, with
// its place and what to do; that done, it starts. A last record that was never
// finished is cut, and that is said.
func TestAStartOnADamagedJournal(t *testing.T) {
	d := begin(t, "[allow]\nusers = [\"uid:UID\"]\n[action.one]\ncommand = [\"/bin/true\"]\n", nil)
	c := d.Self()
	for range 3 {
		c.Ended(c.Started("m/one", "").ID)
	}
	d.Stop()
	dir := filepath.Join(d.State, "journal")
	file := filepath.Join(dir, "00000000000000000001.jsonl")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	records := bytes.SplitAfter(good, []byte("\n"))
	edited := bytes.Clone(good)
	copy(edited[len(bytes.Join(records[:4], nil))+bytes.Index(records[4], []byte(`"type":"`)):], `"type":"x`)
	for _, test := range []struct {
		golden  string
		content []byte
	}{
		{"edited", edited},
		{"not-json", bytes.Replace(good, []byte("}\n{"), []byte("]\n{"), 1)},
		{"missing", bytes.Join(append(records[:4:4], records[5:]...), nil)},
		{"swapped", bytes.Join(append(append(records[:4:4], records[5], records[4]), records[6:]...), nil)},
	} {
		spoil(test.content)
		before := d.Log()
		d.Launch()
		ended := make(chan error, 1)
		go func() { ended <- d.Cmd.Wait() }()
		select {
		case err := <-ended:
			if d.Cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("%s: it ended with %v", test.golden, err)
			}
		case <-time.After(60 * time.Second):
			d.Cmd.Process.Signal(syscall.SIGTERM)
			t.Fatalf("%s: it did not end; it said:\n%s", test.golden, d.Log())
		}
		said := strings.ReplaceAll(strings.TrimPrefix(d.Log(), before), d.State, "STATE")
		want, _ := os.ReadFile(filepath.Join("testdata", "damaged", test.golden+".golden"))
		if said != string(want) {
			t.Errorf("%s: it said\n%s\nwant\n%s", test.golden, said, want)
		}
		if now, _ := os.ReadFile(file); !bytes.Equal(now, test.content) {
			t.Errorf("%s: the journal was touched", test.golden)
		}
	}

	spoil(good[:len(good)-7])
	before := d.Log()
	d.Start()
	if said := strings.TrimPrefix(d.Log(), before); !strings.Contains(said, text("%s, record %d: cut ", file, len(records)-1)) {
		t.Errorf("a torn record: it said\n%s", said)
	}
	c.Ended(c.Started("m/one", "").ID)
	d.Verify()
	d.Stop()

	spoil(edited) // the other remedy
	if err := os.Rename(dir, dir+".damaged"); err != nil {
		t.Fatal(err)
	}
	d.Start()
	c.Ended(c.Started("m/one", "").ID)
	d.Verify()
}

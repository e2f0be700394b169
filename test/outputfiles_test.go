//go:build linux

package test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// Output of tasks that run as bin, which is asked for by bin and by sys.
const outputFilesModule = `
user = "bin"
[allow]
users = ["uid:0", "uid:2", "uid:3"]
[action.assault]
command = ["CAST", "assault", "WORK/open"]
[action.pass]
command = ["CAST", "pass", "WORK/open/socket"]
[action.preallocate]
command = ["CAST", "preallocate", "{bytes}"]
params.bytes = { type = "integer" }
output.cap = "64KiB"
[action.anew]
command = ["/bin/sh", "-c", 'echo 1; echo 2 >>/dev/stdout; echo e >>/dev/stderr; echo 3; echo f >>/dev/stderr']
[action.cuts]
command = ["/bin/sh", "-c", 'echo one >&2; echo two >/dev/stderr; echo three >/dev/stderr']
[action.brief]
command = ["/bin/sh", "-c", 'echo out; echo err >&2']
[action.silent]
command = ["/bin/true"]
[action.write]
command = ["CAST", "write", "{bytes}"]
params.bytes = { type = "integer" }
output.cap = "16MiB"
`

func outputFiles(t *testing.T, more rig.Files) *rig.Deputy {
	t.Helper()
	rig.NeedRoot(t)
	files := rig.Files{"deputy.toml": installed}
	for name, text := range more {
		files[name] = text
	}
	d := prepare(t, outputFilesModule, files, "--installed")
	if err := os.Mkdir(filepath.Join(d.Work, "open"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(d.Work, "open"), 0o777); err != nil {
		t.Fatal(err)
	}
	return d
}

// A task's output files are root's: it appends to them, and that is all.
func TestATaskOnlyAppendsToItsOutput(t *testing.T) {
	d := outputFiles(t, nil)
	d.Start()
	c := d.As(2)
	task := c.Ended(c.Started("m/assault", "").ID)
	if out := c.Stdout(task.ID); task.State != deputy.Succeeded || out != "" {
		t.Errorf("%s (%s): these worked:\n%s", task.State, reason(task), out)
	}
	task = c.Ended(c.Started("m/anew", "").ID)
	stderr := c.Do("GET", "/v1/tasks/"+task.ID+"/stderr", "")
	if out := c.Stdout(task.ID); task.State != deputy.Succeeded || out != "1\n2\n3\n" || string(stderr.Body) != "e\nf\n" || task.StderrRewritten {
		t.Errorf("%s (%s): stdout %q, stderr %q", task.State, reason(task), out, stderr.Body)
	}
}

// What a task has handed to another process changes nothing of what is kept, and
// holds up nobody.
func TestAnAccompliceChangesNothing(t *testing.T) {
	d := outputFiles(t, nil)
	d.Start()
	accomplice := exec.Command(filepath.Join(rig.Programs(t), "cast"), "accomplice", filepath.Join(d.Work, "open", "socket"))
	accomplice.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 2, Gid: 2, Groups: []uint32{}}}
	order, err := accomplice.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := accomplice.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := accomplice.Start(); err != nil {
		t.Fatal(err)
	}
	defer accomplice.Wait()
	defer order.Close()
	said := bufio.NewReader(out)
	say := func() string {
		line, err := said.ReadString('\n')
		if err != nil {
			t.Fatalf("the accomplice has ended: %v", err)
		}
		return strings.TrimSpace(line)
	}
	if got := say(); got != "ready" {
		t.Fatal(got)
	}
	c := d.As(2)
	began := time.Now()
	task := c.Ended(c.Started("m/pass", "").ID)
	if took := time.Since(began); took > 15*time.Second { // a lease is kept for 45
		t.Errorf("it took %v to end", took)
	}
	if got := say(); got != "taken" {
		t.Fatal(got)
	}
	for range 3 {
		io.WriteString(order, "x")
		t.Log(say())
		if got := c.Stdout(task.ID); got != "kept\n" || task.StdoutBytes != 5 {
			t.Errorf("%d bytes were recorded, and it is %q now", task.StdoutBytes, got)
		}
	}
	sum := sha256.Sum256([]byte("kept\n"))
	if e := endedOf(t, d, task.ID); e.Out.SHA256 != hex.EncodeToString(sum[:]) || e.Out.SHA256Of != "all" || *e.Err != (deputy.Output{}) {
		t.Errorf("recorded: %+v, %+v", e.Out, e.Err)
	}
}

// What is kept is held against what was recorded.
func TestAnOutputThatWasChangedIsFound(t *testing.T) {
	d := outputFiles(t, nil)
	d.Start()
	c := d.As(2)
	var files []string
	for _, params := range []string{`{"bytes":16}`, `{"bytes":4000000}`, `{"bytes":40000000}`} {
		task := c.Ended(c.Started("m/write", params).ID)
		files = append(files, filepath.Join(d.State, "tasks", task.ID, "stdout"))
	}
	c.Ended(c.Started("m/silent", "").ID)
	verify := func() (string, error) {
		text, err := d.Command("audit", "verify", "--outputs", "--journal", filepath.Join(d.State, "journal")).CombinedOutput()
		return string(text), err
	}
	if text, err := verify(); err != nil || !strings.Contains(text, "good: outputs: 3 checked, 0 changed\n") {
		t.Errorf("%v\n%s", err, text)
	}
	for _, file := range files {
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("x"), 4096+7); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	text, err := verify()
	if err == nil || !strings.Contains(text, "it has 4104 bytes, and had 16\n") || strings.Count(text, "stdout: its SHA-256 is not the one that was recorded\n") != 2 {
		t.Errorf("%v\n%s", err, text)
	}
}

func endedOf(t *testing.T, d *rig.Deputy, id string) deputy.Event {
	t.Helper()
	for _, e := range d.Events(deputy.Ended) {
		if e.Task == id {
			return e
		}
	}
	t.Fatalf("the end of %s is not recorded", id)
	return deputy.Event{}
}

// The cap counts what is allocated behind the end of an output, too.
func TestBlocksBehindTheEndAreGivenBack(t *testing.T) {
	d := outputFiles(t, nil)
	d.Start()
	c := d.As(2)
	task := c.Started("m/preallocate", text(`{"bytes":%d}`, 256<<20))
	ready(t, c, task.ID)
	file := filepath.Join(d.State, "tasks", task.ID, "stdout")
	for range 5 {
		rig.Eventually(t, 10*time.Second, "they are given back", func() bool { return onDisk(t, file) < 8<<20 })
	}
	task = c.Stop(task.ID, "")
	if use := onDisk(t, file); use > 256<<10 || task.StdoutBytes != 6 {
		t.Errorf("%d bytes take %d on the disk", task.StdoutBytes, use)
	}
}

// However short it is, a script that cuts its own stderr is said to have done so,
// wherever its output is shown.
func TestACutIsSaidEverywhere(t *testing.T) {
	d := outputFiles(t, nil)
	d.Start()
	c := d.As(2)
	for range 12 {
		task := c.Ended(c.Started("m/cuts", "").ID)
		a := c.Do("GET", "/v1/tasks/"+task.ID+"/stderr", "")
		if string(a.Body) != "three\n" || a.Header.Get("Deputy-Rewritten") != "true" || !task.StderrRewritten || task.StdoutRewritten {
			t.Fatalf("stderr is %q, headers %v; %+v", a.Body, a.Header, task)
		}
	}
	const said = "the task itself cut or rewrote it"
	task := c.Ended(c.Started("m/cuts", "").ID)
	for _, args := range [][]string{{"run", "m", "cuts"}, {"logs", task.ID}, {"logs", "-f", task.ID}, {"logs", "-n", "1", task.ID}, {"show", task.ID}} {
		text, err := d.Command(args...).CombinedOutput()
		if err != nil || !strings.Contains(string(text), said) || args[0] != "show" && !strings.HasSuffix(string(text), "three\n") {
			t.Errorf("deputy %v: %v\n%s", args, err, text)
		}
	}
	if !strings.Contains(d.Log(), "it cut or rewrote its own stderr") {
		t.Error("the log does not say so")
	}
	if text, err := d.Command("run", "m", "brief").CombinedOutput(); err != nil || strings.Contains(string(text), said) {
		t.Errorf("of one that does not: %v\n%s", err, text)
	}
}

// In a root install the server may read each output from its first moment on:
// whoever follows a short task has all of it.
func TestShortTasksAreFollowedFromTheirFirstMoment(t *testing.T) {
	d := outputFiles(t, nil)
	d.Start()
	c := d.As(2)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 60 {
				task := c.Started("m/brief", "")
				for stream, want := range map[string]string{"stdout": "out\n", "stderr": "err\n"} {
					a := c.Do("GET", "/v1/tasks/"+task.ID+"/"+stream+"?follow=1", "")
					if a.Status != 200 || string(a.Body) != want {
						t.Errorf("followed: %d, %q", a.Status, a.Body)
					}
				}
			}
		})
	}
	for range 2 {
		all.Go(func() {
			for range 40 {
				cmd := d.Command("run", "m", "brief")
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 2, Gid: 2, Groups: []uint32{}}}
				var out, errs strings.Builder
				cmd.Stdout, cmd.Stderr = &out, &errs
				if err := cmd.Run(); err != nil || out.String() != "out\n" || errs.String() != "err\n" {
					t.Errorf("deputy run: %v, %q, %q", err, out.String(), errs.String())
				}
			}
		})
	}
	all.Wait()
}

// An output that stayed empty leaves no file, and is read as one of no bytes.
func TestAnEmptyOutputLeavesNoFile(t *testing.T) {
	d := outputFiles(t, nil)
	d.Start()
	c := d.As(2)
	brief := c.Ended(c.Started("m/write", `{"bytes":16}`).ID)
	silent := c.Ended(c.Started("m/silent", "").ID)
	for path, there := range map[string]bool{brief.ID + "/stdout": true, brief.ID + "/stderr": false, silent.ID + "/stdout": false, silent.ID + "/stderr": false} {
		rig.Eventually(t, 10*time.Second, fmt.Sprintf("%s is there: %t", path, there), func() bool {
			_, err := os.Lstat(filepath.Join(d.State, "tasks", path))
			return (err == nil) == there
		})
	}
	for _, query := range []string{"", "?offset=0", "?offset=0&wait=5", "?follow=1"} {
		a := c.Do("GET", "/v1/tasks/"+silent.ID+"/stdout"+query, "")
		if a.Status != 200 || len(a.Body) > 0 || a.Header.Get("Deputy-Gap") != "" || a.Header.Get("Deputy-Rewritten") != "" {
			t.Errorf("%q: %d, %q, %v", query, a.Status, a.Body, a.Header)
		}
	}
	if text, err := d.Command("logs", silent.ID).CombinedOutput(); err != nil || len(text) > 0 {
		t.Errorf("deputy logs: %v, %q", err, text)
	}
	// So it is after a start, which sweeps up what an earlier one left.
	left := filepath.Join(d.State, "tasks", "01890000-0000-7000-8000-000000000000")
	if err := os.Mkdir(left, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "stdout"), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	d.Stop()
	d.Start()
	rig.Eventually(t, 10*time.Second, "what was left is swept up", func() bool {
		entries, err := os.ReadDir(filepath.Join(d.State, "tasks"))
		return err == nil && len(entries) == 1 && entries[0].Name() == brief.ID
	})
}

// Where output takes too much, that of the caller who has the most goes: a flood
// does not cost others theirs.
func TestAFloodEvictsItsOwnOutput(t *testing.T) {
	d := outputFiles(t, rig.Files{"deputy.toml": installed + "[storage]\nmax_use = \"20MiB\"\nkeep_free = \"1B\"\n"})
	d.Start()
	victim, flood := d.As(3), d.As(2)
	mine := victim.Ended(victim.Started("m/write", `{"bytes":1000000}`).ID) // the oldest of all
	round := func() {
		for range 8 {
			flood.Ended(flood.Started("m/write", `{"bytes":4000000}`).ID)
		}
	}
	round()
	rig.Eventually(t, 40*time.Second, "output is removed", func() bool { return len(d.Events(deputy.OutputRemoved)) > 0 })
	d.Stop()
	d.Start() // whose it is, is known to the next monitor, too
	before := len(d.Events(deputy.OutputRemoved))
	round()
	rig.Eventually(t, 40*time.Second, "more is removed", func() bool { return len(d.Events(deputy.OutputRemoved)) > before })
	if out := d.As(3).Stdout(mine.ID); len(out) != 1000000 {
		t.Errorf("of another caller's output %d bytes are left", len(out))
	}
}

// Inodes are managed as bytes are.
func TestInodesRunOut(t *testing.T) {
	d := outputFiles(t, nil)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=512m,nr_inodes=300", "none", d.State).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { syscall.Unmount(d.State, syscall.MNT_DETACH) })
	d.Start()
	c := d.As(2)
	// Deputy's own output goes before it takes them all.
	for range 400 {
		if task := c.Ended(c.Started("m/brief", "").ID); task.State != deputy.Succeeded {
			t.Fatalf("%s: %s", task.State, reason(task))
		}
	}
	if len(d.Events(deputy.OutputRemoved)) == 0 {
		t.Error("nothing was removed")
	}
	// Others' files are nothing that it could remove.
	hog := filepath.Join(d.State, "hog")
	if err := os.Mkdir(hog, 0o755); err != nil {
		t.Fatal(err)
	}
	fill := func() {
		for i := 0; ; i++ {
			if err := os.Mkdir(filepath.Join(hog, fmt.Sprint(i)), 0o755); err != nil && !os.IsExist(err) {
				return
			}
		}
	}
	rig.Eventually(t, 30*time.Second, "nothing is accepted", func() bool {
		fill()
		a := c.Call("m/brief", "")
		if a.Status == 503 {
			a.Refused(t, 503, deputy.NotDurable)
		}
		return a.Status == 503
	})
	if !strings.Contains(d.Log(), "inodes left") {
		t.Errorf("the log does not say why: %s", d.Log())
	}
	if err := os.RemoveAll(hog); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, 30*time.Second, "it accepts again", func() bool { return c.Call("m/brief", "").Status == 202 })
}

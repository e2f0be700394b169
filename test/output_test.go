//go:build linux

package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/client"
	"deputy/test/rig"
)

const (
	outputCap  = 16 << 20
	outputRoom = 4 << 20 // what may lie on the disk beyond the cap
	outputSize = 1 << 30
)

// Each byte that these tasks write tells its own place: see rig.Pattern.
const outputModule = `
[allow]
users = ["uid:UID"]
[action.write]
command = ["CAST", "write", "{bytes}"]
params.bytes = { type = "integer" }
output.cap = "16MiB"
[action.later]
command = ["/bin/sh", "-c", 'read line <"$0"; exec "$1" write "$2"', "WORK/gate", "CAST", "{bytes}"]
params.bytes = { type = "integer" }
output.cap = "16MiB"
[action.small]
command = ["CAST", "write", "{bytes}"]
params.bytes = { type = "integer" }
output.cap = "64KiB"
[action.cuts]
command = ["/bin/sh", "-c", '"$1" write 1000000; read line <"$0"; : >/dev/stdout; echo three', "WORK/gate", "CAST"]
output.cap = "64KiB"
`

// checker takes an output in order and holds each byte against its place.
type checker struct {
	at    int64 // offset of the next byte
	gaps  [][2]int64
	wrong string
}

func (c *checker) Write(b []byte) (int, error) {
	if !rig.IsPattern(b, c.at) && c.wrong == "" {
		c.wrong = fmt.Sprintf("the %d bytes from %d on are not what the task wrote there: %.40q…", len(b), c.at, b)
	}
	c.at += int64(len(b))
	return len(b), nil
}

func (c *checker) Gap(from, to int64) error {
	if from != c.at && c.wrong == "" {
		c.wrong = fmt.Sprintf("a gap from %d to %d was told at %d", from, to, c.at)
	}
	c.gaps, c.at = append(c.gaps, [2]int64{from, to}), to
	return nil
}

func (c *checker) Rewritten(int64) error {
	c.wrong = "told as rewritten"
	return nil
}

// whole fails unless all bytes up to size were given, or told as gone.
func (c *checker) whole(t *testing.T, how string, size int64) {
	t.Helper()
	if c.wrong != "" || c.at != size {
		t.Errorf("%s: ended at %d of %d; %s", how, c.at, size, c.wrong)
	}
}

func onDisk(t testing.TB, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// A task that writes a gibibyte costs the disk its cap and a little; head and
// tail stay exact, and whoever reads, then or meanwhile, is told the gap.
func TestAGibibyteUnderACapOfSixteenMebibytes(t *testing.T) {
	d := prepare(t, outputModule, nil)
	g := newGate(t, filepath.Join(d.Work, "gate"))
	d.Start()
	c := d.Self()
	task := c.Started("m/later", text(`{"bytes":%d}`, outputSize))
	file := filepath.Join(d.State, "tasks", task.ID, "stdout")

	var followers sync.WaitGroup
	polled, streamed, raw := &checker{}, &checker{}, &rawChecker{}
	followers.Go(func() { // from the start, while it runs
		if _, err := d.Client().Follow(context.Background(), task.ID, client.Stdout, 0, polled); err != nil {
			t.Errorf("following by polls: %v", err)
		}
	})
	followers.Go(func() { followEvents(t, d, task.ID, streamed) })
	followers.Go(func() { followRaw(t, d, task.ID, raw) })
	running(t, c, task.ID)
	g.open()
	var peak atomic.Int64
	over := make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
				peak.Store(max(peak.Load(), onDisk(t, file)))
			}
		}
	}()
	task = c.Ended(task.ID)
	kept := onDisk(t, file)
	close(over)
	if kept > outputCap+outputRoom { // its end is recorded only when the cap holds
		t.Errorf("%d bytes are on the disk %v after its end, the cap is %d", kept, time.Since(task.Ended.Time), outputCap)
	}
	if task.State != deputy.Succeeded || task.StdoutBytes != outputSize || task.StdoutGap == nil {
		t.Fatalf("%s, %s, %d bytes, gap %v", task.State, reason(task), task.StdoutBytes, task.StdoutGap)
	}
	gap := *task.StdoutGap
	if held := gap[0] + outputSize - gap[1]; held < outputCap*3/4 || gap[0] < outputCap/16 {
		t.Errorf("only %d bytes are kept, %d of them from the beginning", held, gap[0])
	}
	took := task.Ended.Sub(task.Started.Time)
	t.Logf("%v for 1 GiB (with the waiting at the gate); at most %d KiB on the disk meanwhile, %d KiB at its end; gap %v", took, peak.Load()>>10, kept>>10, gap)

	followers.Wait()
	polled.whole(t, "followed by polls from the start", outputSize)
	streamed.whole(t, "followed as events from the start", outputSize)
	raw.whole(t, outputSize)
	readWhole(t, c, task)
	readRanges(t, c, task)
	readLater(t, d, task)
}

// rawChecker takes bytes in which gaps are jumped over: it can only see that
// each line is one that was written, behind the one before.
type rawChecker struct {
	rest  []byte
	last  int64
	wrong string
}

func (r *rawChecker) Write(b []byte) (int, error) {
	r.rest = append(r.rest, b...)
	for len(r.rest) >= 16 {
		i := bytes.IndexByte(r.rest, '\n')
		if i < 0 {
			r.wrong = "a line without an end"
			return 0, io.ErrShortWrite
		}
		if at, err := strconv.ParseInt(string(r.rest[:i]), 10, 64); i == 15 && err == nil {
			if at < r.last {
				r.wrong = fmt.Sprintf("%d came after %d", at, r.last)
			}
			r.last = at
		} // otherwise a part of a line, at the edge of a gap
		r.rest = r.rest[i+1:]
	}
	return len(b), nil
}

func (r *rawChecker) whole(t *testing.T, size int64) {
	t.Helper()
	if r.wrong != "" || r.last != size-16 || len(r.rest) > 0 {
		t.Errorf("followed raw from the start: the last line is of %d, not of %d; %s", r.last, size-16, r.wrong)
	}
}

func followRaw(t *testing.T, d *rig.Deputy, id string, into io.Writer) {
	stream := d.Self().Open("/v1/tasks/"+id+"/stdout?follow=1", "")
	defer stream.Close()
	if _, err := io.Copy(into, stream); err != nil {
		t.Errorf("following raw: %v", err)
	}
}

// followEvents reads SSE until the end event, and checks the ids.
func followEvents(t *testing.T, d *rig.Deputy, id string, into *checker) {
	stream := d.Self().Open("/v1/tasks/"+id+"/stdout", "text/event-stream")
	defer stream.Close()
	in := bufio.NewReaderSize(stream, 1<<20)
	var last string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Errorf("following events: %v", err)
			return
		}
		if value, ok := strings.CutPrefix(line, "id: "); ok {
			last = strings.TrimSpace(value)
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var event struct {
			Text *string
			Gap  *[2]int64
			End  *deputy.Task
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			t.Errorf("%v in %.100s", err, data)
			return
		}
		switch {
		case event.Text != nil:
			into.Write([]byte(*event.Text))
		case event.Gap != nil:
			into.Gap(event.Gap[0], event.Gap[1])
		case event.End != nil:
			if event.End.Ended == nil || event.End.ID != id {
				t.Errorf("the end event holds %s, %s", event.End.ID, event.End.State)
			}
			return
		}
		if last != fmt.Sprint(into.at) {
			t.Errorf("an event has the id %s, the offset behind it is %d", last, into.at)
			return
		}
	}
}

func readWhole(t *testing.T, c *rig.Caller, task deputy.Task) {
	t.Helper()
	gap := *task.StdoutGap
	a := c.Do("GET", "/v1/tasks/"+task.ID+"/stdout", "")
	if got, want := a.Header.Get("Deputy-Gap"), fmt.Sprintf("%d-%d", gap[0], gap[1]-1); a.Status != 200 || got != want {
		t.Errorf("status %d, Deputy-Gap %q, want %q", a.Status, got, want)
	}
	if n := gap[0] + task.StdoutBytes - gap[1]; int64(len(a.Body)) != n {
		t.Fatalf("%d bytes, want the %d that there are", len(a.Body), n)
	}
	if !rig.IsPattern(a.Body[:gap[0]], 0) || !rig.IsPattern(a.Body[gap[0]:], gap[1]) {
		t.Error("head or tail is not what the task wrote")
	}
}

func readRanges(t *testing.T, c *rig.Caller, task deputy.Task) {
	t.Helper()
	gap, size := *task.StdoutGap, task.StdoutBytes
	for _, test := range []struct {
		header      string
		status      int
		first, last int64
	}{
		{"bytes=0-99", 206, 0, 99},
		{text("bytes=%d-%d", gap[0]-10, gap[0]+10), 206, gap[0] - 10, gap[0] - 1}, // ends before the gap
		{text("bytes=%d-", gap[1]), 206, gap[1], size - 1},
		{"bytes=-100", 206, size - 100, size - 1},
		{text("bytes=%d-", gap[0]), 416, 0, 0},
		{text("bytes=%d-%d", gap[1]-1, gap[1]+5), 416, 0, 0}, // begins in the gap
		{text("bytes=%d-", size), 416, 0, 0},
	} {
		a := c.Do("GET", "/v1/tasks/"+task.ID+"/stdout", "", "Range", test.header)
		if a.Status != test.status {
			t.Errorf("%s: status %d, want %d: %.200s", test.header, a.Status, test.status, a.Body)
			continue
		}
		if a.Status != 206 {
			continue
		}
		want := fmt.Sprintf("bytes %d-%d/%d", test.first, test.last, size)
		if got := a.Header.Get("Content-Range"); got != want || int64(len(a.Body)) != test.last-test.first+1 || !rig.IsPattern(a.Body, test.first) {
			t.Errorf("%s: %s, %d bytes; want %s", test.header, got, len(a.Body), want)
		}
	}
}

// readLater reads in the two other forms what has ended.
func readLater(t *testing.T, d *rig.Deputy, task deputy.Task) {
	t.Helper()
	gap := *task.StdoutGap
	streamed := &checker{}
	followEvents(t, d, task.ID, streamed)
	streamed.whole(t, "as events, after the end", task.StdoutBytes)
	if len(streamed.gaps) != 1 || streamed.gaps[0] != gap {
		t.Errorf("the events tell of the gaps %v, want %v", streamed.gaps, gap)
	}
	polled := &checker{}
	for {
		a := d.Self().Do("GET", text("/v1/tasks/%s/stdout?offset=%d&wait=5", task.ID, polled.at), "")
		if a.Status != 200 || a.Header.Get("Deputy-State") != "succeeded" {
			t.Fatalf("status %d, state %q: %.200s", a.Status, a.Header.Get("Deputy-State"), a.Body)
		}
		next, err := strconv.ParseInt(a.Header.Get("Deputy-Next-Offset"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if next == polled.at {
			break
		}
		if told := a.Header.Get("Deputy-Gap"); told != "" {
			if want := fmt.Sprintf("%d-%d", gap[0], gap[1]-1); told != want {
				t.Errorf("Deputy-Gap %q, want %q", told, want)
			}
			polled.Gap(gap[0], gap[1])
		}
		polled.Write(a.Body)
		if polled.at != next {
			t.Fatalf("the answer reaches to %d, Deputy-Next-Offset is %d", polled.at, next)
		}
	}
	polled.whole(t, "by polls, after the end", task.StdoutBytes)
	if len(polled.gaps) != 1 {
		t.Errorf("the polls tell of the gaps %v, want %v", polled.gaps, gap)
	}
}

// Below the cap and just at it nothing is lost.
func TestOutputWithinTheCapIsWhole(t *testing.T) {
	d := begin(t, outputModule, nil)
	c := d.Self()
	for _, n := range []int64{0, 1, 15, 65535, 65536} {
		task := c.Ended(c.Started("m/small", text(`{"bytes":%d}`, n)).ID)
		a := c.Do("GET", "/v1/tasks/"+task.ID+"/stdout", "")
		if task.StdoutBytes != n || task.StdoutGap != nil || int64(len(a.Body)) != n || !rig.IsPattern(a.Body, 0) || a.Header.Get("Deputy-Gap") != "" {
			t.Errorf("of %d bytes %d are told, %d given, gap %v", n, task.StdoutBytes, len(a.Body), task.StdoutGap)
		}
	}
}

// The answer to a call can hold the end of the output.
func TestACallThatWaitsShowsTheEndOfTheOutput(t *testing.T) {
	d := begin(t, outputModule, nil)
	var answer struct {
		Tasks []client.Task
	}
	d.Self().Call("m/small?wait=60&output=32", `{"bytes":160}`).Read(t, 200, &answer)
	task := answer.Tasks[0]
	if task.Stdout == nil || !rig.IsPattern([]byte(*task.Stdout), 128) || len(*task.Stdout) != 32 || !*task.Truncated || *task.Stderr != "" || task.State != deputy.Succeeded {
		t.Errorf("%+v: stdout %v, truncated %v", task.Task, task.Stdout, task.Truncated)
	}
}

// A file that the task itself cut is reported as such: no reader takes the rest
// for the whole.
func TestOutputThatTheTaskItselfCutIsReportedAsSuch(t *testing.T) {
	d := prepare(t, outputModule, nil)
	g := newGate(t, filepath.Join(d.Work, "gate"))
	d.Start()
	c := d.Self()
	task := c.Started("m/cuts", "")
	rig.Eventually(t, 20*time.Second, "its output was looked at", func() bool {
		return c.Do("HEAD", "/v1/tasks/"+task.ID+"/stdout", "").Header.Get("Deputy-Gap") != ""
	})
	g.open()
	task = c.Ended(task.ID)
	a := c.Do("GET", "/v1/tasks/"+task.ID+"/stdout", "")
	if string(a.Body) != "three\n" {
		t.Fatalf("stdout is %q", a.Body)
	}
	if ended := d.Events(deputy.Ended)[0]; !ended.Out.Rewritten || a.Header.Get("Deputy-Rewritten") != "true" {
		t.Errorf("not reported: the journal's %+v, headers %v", ended.Out, a.Header)
	}
}

// The task's files are for root and the server alone; others may write to them
// while it lives, as a task of another user does that opens /dev/stderr anew.
func TestOutputFilesAreNotForEveryone(t *testing.T) {
	d := prepare(t, outputModule, nil)
	g := newGate(t, filepath.Join(d.Work, "gate"))
	d.Start()
	c := d.Self()
	modes := func(id string, want map[string]os.FileMode) {
		t.Helper()
		for name, mode := range want {
			info, err := os.Stat(filepath.Join(d.State, "tasks", id, name))
			if err != nil || info.Mode().Perm() != mode {
				t.Errorf("%q: %v, %v; want mode %o", name, info.Mode(), err, mode)
			}
		}
	}
	task := c.Started("m/later", `{"bytes":16}`)
	running(t, c, task.ID)
	modes(task.ID, map[string]os.FileMode{"": 0o750, "stdout": 0o642, "stderr": 0o642})
	g.open()
	task = c.Ended(task.ID)
	modes(task.ID, map[string]os.FileMode{"": 0o750, "stdout": 0o640})
}

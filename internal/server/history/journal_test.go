package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"deputy"
)

// journal makes records as the monitor's journal does: numbered, chained, in
// the fixed form.
type journal struct {
	seq  uint64
	prev string
	now  time.Time
	ids  int
	over []string // some tasks of random that have ended
	text [][]byte // every line, by number - 1
}

func newJournal() *journal {
	return &journal{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// add appends an event and gives its line.
func (j *journal) add(e deputy.Event) []byte {
	j.seq++
	j.now = j.now.Add(time.Millisecond)
	e.Seq, e.Prev = j.seq, j.prev
	if e.Time.IsZero() {
		e.Time = deputy.Time{Time: j.now}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&e); err != nil {
		panic(err)
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
	sum := sha256.Sum256(text)
	j.prev = hex.EncodeToString(sum[:])
	j.text = append(j.text, text)
	return text
}

// id gives ids in the form of a UUIDv7.
func (j *journal) id() string {
	j.ids++
	ms := j.now.UnixMilli()
	return fmt.Sprintf("%08x-%04x-7%03x-8000-%012x", ms>>16, ms&0xffff, j.ids&0xfff, j.ids)
}

func ptr[T any](v T) *T { return &v }

// accepted is a typical record of one task.
func (j *journal) accepted(id string) deputy.Event {
	return deputy.Event{
		Type: deputy.Accepted, Caller: "uid:33", EndUser: "alice", Module: "service", Action: "restart",
		Rule: "/etc/deputy/allow.d/site.toml:7", Policy: strings.Repeat("ab", 32),
		Tasks: []deputy.TaskRecord{{
			ID: id, Params: map[string]any{"unit": "nginx.service"}, Lock: ptr("nginx.service"),
			Run: json.RawMessage(`{"uid":33,"gids":[33],"manifest":"` + strings.Repeat("cd", 32) +
				`","timeout_ms":86400000,"grace_ms":10000,"signal":15,"success":[0],"stoppable":true,"cap":8388608}`),
		}},
	}
}

func started(id string) deputy.Event {
	return deputy.Event{Type: deputy.Started, Task: id, Attempt: 1, PID: 4242, Leaf: id + ".1",
		Boot: "0f0f0f0f-aaaa-4bbb-8ccc-121212121212", BootNS: 123456789012345}
}

func ended(id string, state deputy.State) deputy.Event {
	e := deputy.Event{Type: deputy.Ended, Task: id, Attempt: 1, State: state, Exit: &deputy.Exit{Code: ptr(0)},
		Out: &deputy.Output{Bytes: 120}, Err: &deputy.Output{}}
	if state != deputy.Succeeded {
		e.Exit, e.Reason = &deputy.Exit{Code: ptr(3)}, "it exited with code 3, which is not a success"
	}
	return e
}

// random appends n random records, as a monitor under load may give them, and
// calls apply with each.
func (j *journal) random(r *rand.Rand, n int, live *[]string, apply func(seq uint64, line []byte)) {
	give := func(e deputy.Event) { line := j.add(e); apply(j.seq, line) }
	pick := func() string { return (*live)[r.IntN(len(*live))] }
	for range n {
		switch k := r.IntN(100); {
		case k < 35 || len(*live) == 0:
			e := j.accepted(j.id())
			e.Caller = deputy.Caller(fmt.Sprintf("uid:%d", 30+r.IntN(4)))
			e.Module, e.Action = fmt.Sprintf("module%d", r.IntN(3)), fmt.Sprintf("action%d", r.IntN(2))
			e.EndUser = []string{"", "alice", "bob"}[r.IntN(3)]
			e.Tasks[0].Params = map[string]any{"n": json.Number("9007199254740993"), "list": []any{"a", true}}
			e.Tasks[0].Lock = []*string{nil, ptr("a"), ptr("b")}[r.IntN(3)]
			*live = append(*live, e.Tasks[0].ID)
			for range r.IntN(3) {
				t := e.Tasks[0]
				t.ID = j.id()
				e.Tasks = append(e.Tasks, t)
				*live = append(*live, t.ID)
			}
			if r.IntN(4) == 0 {
				e.Tasks = append(e.Tasks, deputy.TaskRecord{ID: pick(), Joined: true})
			}
			give(e)
		case k < 45:
			e := j.accepted("")
			e.Caller = deputy.Caller(fmt.Sprintf("uid:%d", 30+r.IntN(6)))
			e.EndUser = []string{"", "alice", "bob"}[r.IntN(3)]
			e.Tasks = []deputy.TaskRecord{{ID: pick(), Joined: true}}
			give(e)
		case k < 60:
			give(started(pick()))
		case k < 65:
			give(deputy.Event{Type: deputy.StopRequested, Task: pick(), Caller: "uid:0", State: deputy.Stopped})
		case k < 67:
			give(deputy.Event{Type: deputy.Denied, Caller: "uid:99", Module: "service", Action: "x", Code: deputy.NotAllowed})
		case k < 68:
			give(deputy.Event{Type: deputy.OutputRemoved, IDs: append([]string{"unknown", pick()}, j.over...)})
		case k < 69:
			give(deputy.Event{Type: deputy.Checkpoint, Checkpoint: json.RawMessage(`{"tasks":{}}`), Files: []deputy.PolicyFile{{Path: "p", Text: strings.Repeat("x", 1000)}}})
		default:
			i := r.IntN(len(*live))
			ends := []deputy.State{deputy.Succeeded, deputy.Succeeded, deputy.Failed, deputy.Stopped, deputy.TimedOut, deputy.Unknown}
			give(ended((*live)[i], ends[r.IntN(len(ends))]))
			if r.IntN(20) == 0 {
				j.over = append(j.over, (*live)[i])
			}
			*live = append((*live)[:i], (*live)[i+1:]...)
		}
	}
}

func openTest(t testing.TB, path string) *History {
	t.Helper()
	h, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func mustApply(t testing.TB, h *History, j *journal, events ...deputy.Event) {
	t.Helper()
	for _, e := range events {
		line := j.add(e)
		if err := h.Apply(j.seq, line); err != nil {
			t.Fatal(err)
		}
	}
}

var errEnough = errors.New("enough")

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

package history

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"deputy"
)

// itemBits is how many bits of an ord number the tasks of one record.
const itemBits = 17

// ordOf is the place of a task in the journal's order.
func ordOf(seq uint64, item int) int64 { return int64(seq)<<itemBits | int64(item) }

// task is one version of a task. It is never changed once others can see it: a
// change makes a new version.
type task struct {
	deputy.Task // Params is nil: see params
	params      json.RawMessage
	first       First // zero while nothing of it was started, and once it has ended
	ord         int64
	endedSeq    uint64 // seq of the Ended record; 0: live
	gone        bool   // its output was removed
}

// First is the first process of a task, as the journal records its start.
type First struct {
	PID    int   `json:"pid"`
	BootNS int64 `json:"boot_ns"` // CLOCK_BOOTTIME a moment before it was born
}

// public is the task as the front doors show it.
func (t *task) public() deputy.Task {
	out := t.Task
	out.Params = decodeParams(t.params)
	if out.Joined = slices.Clone(out.Joined); out.Joined == nil {
		out.Joined = []deputy.Caller{}
	}
	out.Attempts = t.attempts()
	if t.gone {
		out.StdoutGap = wholeGap(out.StdoutBytes, out.StdoutGap)
		out.StderrGap = wholeGap(out.StderrBytes, out.StderrGap)
	}
	return out
}

// join notes a party that was given this task.
func (t *task) join(p deputy.Party) {
	t.Parties = append(slices.Clip(t.Parties), p)
	if !slices.Contains(t.Joined, p.Caller) {
		t.Joined = append(slices.Clip(t.Joined), p.Caller)
	}
}

// wholeGap is the gap of an output of n bytes that was removed.
func wholeGap(n int64, gap *[2]int64) *[2]int64 {
	if n == 0 {
		return gap
	}
	return &[2]int64{0, n}
}

// entry is a task in memory. Its members are guarded by History.mu.
type entry struct {
	task    *task
	ord     int64
	dirty   bool          // task stands in the pending batch
	dead    bool          // no longer in memory, but still in History.order
	changed chan struct{} // closed at the next change; nil: nobody waits
	ended   chan struct{} // closed at the end; nil: nobody waits
}

func (e *entry) wake() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

func (e *entry) finish() {
	if e.ended != nil {
		close(e.ended)
		e.ended = nil
	}
}

// body is the part of a task that no query filters by, as the database has it.
type body struct {
	Params   json.RawMessage `json:"params,omitempty"`
	Joined   []deputy.Caller `json:"joined,omitempty"`
	Parties  []deputy.Party  `json:"parties,omitempty"` // none beside Joined: an earlier version wrote this, and end users are not known
	Reason   *string         `json:"reason,omitempty"`
	Started  *deputy.Time    `json:"started,omitempty"`
	Ended    *deputy.Time    `json:"ended,omitempty"`
	Attempt  int             `json:"attempt,omitempty"`
	First    First           `json:"first,omitzero"`
	Exit     *deputy.Exit    `json:"exit,omitempty"`
	Stop     *deputy.Receipt `json:"stop,omitempty"`
	Leftover *int            `json:"leftover,omitempty"`
	Out      int64           `json:"out,omitempty"`
	Err      int64           `json:"err,omitempty"`
	OutGap   *[2]int64       `json:"out_gap,omitempty"`
	ErrGap   *[2]int64       `json:"err_gap,omitempty"`
	OutCut   bool            `json:"out_cut,omitempty"`
	ErrCut   bool            `json:"err_cut,omitempty"`
}

func (t *task) encodeBody() ([]byte, error) {
	return json.Marshal(body{
		Params: t.params, Joined: t.Joined, Parties: t.Parties, Reason: t.Reason, Started: t.Started, Ended: t.Ended,
		Attempt: t.Attempt, First: t.first, Exit: t.Exit, Stop: t.Stop, Leftover: t.Leftover,
		Out: t.StdoutBytes, Err: t.StderrBytes, OutGap: t.StdoutGap, ErrGap: t.StderrGap, OutCut: t.StdoutRewritten, ErrCut: t.StderrRewritten,
	})
}

func (t *task) decodeBody(text []byte) error {
	var b body
	if err := json.Unmarshal(text, &b); err != nil {
		return err
	}
	t.params, t.Joined, t.Parties, t.Reason, t.Started, t.Ended = b.Params, b.Joined, b.Parties, b.Reason, b.Started, b.Ended
	if t.Parties == nil {
		for _, c := range t.Joined {
			t.Parties = append(t.Parties, deputy.Party{Caller: c})
		}
	}
	t.Attempt, t.first, t.Exit, t.Stop, t.Leftover = b.Attempt, b.First, b.Exit, b.Stop, b.Leftover
	t.StdoutBytes, t.StderrBytes, t.StdoutGap, t.StderrGap = b.Out, b.Err, b.OutGap, b.ErrGap
	t.StdoutRewritten, t.StderrRewritten = b.OutCut, b.ErrCut
	return nil
}

// bornAt is the time in a UUIDv7 (RFC 9562, section 5.7): its first 48 bits are
// milliseconds since 1970.
func bornAt(id string) (ms int64, ok bool) {
	digits := strings.Replace(id, "-", "", 1)
	if len(digits) < 12 {
		return 0, false
	}
	b, err := hex.DecodeString(digits[:12])
	if err != nil {
		return 0, false
	}
	for _, c := range b {
		ms = ms<<8 | int64(c)
	}
	return ms, true
}

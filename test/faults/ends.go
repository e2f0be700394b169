//go:build linux

package faults

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
)

// oneEnd: promises 3 and 6. A task has one end, and what the journal says of it
// is what the task itself said just before.
func (j *judge) oneEnd(id string) {
	s := j.stories[id]
	if len(s.ended) != 1 {
		j.breach("3: exactly one end", id, "it has %d", len(s.ended))
		return
	}
	end := s.ended[0]
	if end.State == deputy.Unknown && end.Reason == "" || end.Exit != nil && end.Exit.Unknown != "" && end.Reason == "" {
		j.breach("3: unknown has its cause", id, "it has none")
	}
	j.exactExit(id, s, end)
	j.rightState(id, s, end)
	if said := j.ends[id]; len(said) > 0 && end.Out != nil && end.Out.Bytes != said[0].Bytes {
		j.breach("6: output is exact", id, "it wrote %d bytes, the journal says %d", said[0].Bytes, end.Out.Bytes)
	}
}

// exactExit holds the exit against the task's own last word. A task that was
// told to stop may be killed before or after that.
func (j *judge) exactExit(id string, s *story, end *deputy.Event) {
	got := exitText(end.Exit)
	killed := (got == "signal:9" || got == "signal:15") && len(s.stops) > 0
	switch {
	case strings.HasPrefix(got, "unknown"):
		if !j.orphaned(id, s, end) {
			j.breach("3: an exit is exact", id, "it is %s, and a monitor or its keeper lived all the time (%s)", got, end.Reason)
		}
	case len(j.ends[id]) > 0:
		if said := j.ends[id][0].How; got != said && !killed {
			j.breach("3: an exit is exact", id, "it ended with %s, the journal says %s", said, got)
		}
	case len(j.starts[id]) > 0:
		if !killed {
			j.breach("3: an exit is exact", id, "it never came to its end, the journal says %s", got)
		}
	case got == "none":
		if len(s.started) > 0 {
			j.breach("3: an exit is exact", id, "it was started and has none")
		}
	case !killed:
		j.breach("3: an exit is exact", id, "it never began, the journal says %s", got)
	}
}

const (
	birthTime  = int64(time.Second)     // how long a birth may take until it is noted anywhere
	recordTime = int64(time.Second)     // how long an end may take until it is durable, on a busy machine
	reapTime   = 3 * int64(time.Second) // how late PID 1 may take the status of an orphan, without which the kernel does not tell it
)

// orphaned says whether nobody could learn how a task ended. A keeper and its
// monitor died, and then it ended while none lived, or they died while it was
// being born, or another monitor died before PID 1 had taken the status.
func (j *judge) orphaned(id string, s *story, end *deputy.Event) bool {
	var first, last int64
	for _, a := range append(j.starts[id], j.ends[id]...) {
		last = max(last, a.At)
		if a.What == "start" {
			first = a.At
		}
	}
	for _, f := range j.faults {
		lived := first <= f.To && end.Time.UnixNano()+msNS >= f.From
		endedMeanwhile := last <= f.To && (len(j.ends[id]) == 0 || last >= f.From-recordTime)
		noted := len(s.started) > 0 && s.started[0].PID != 0 // without a PID it was found by its cgroup alone
		bornMeanwhile := !noted && f.From < first+birthTime
		if f.Orphaned && lived && (endedMeanwhile || bornMeanwhile || j.monitorDied(last, last+reapTime)) {
			return true
		}
	}
	return false
}

func (j *judge) monitorDied(from, to int64) bool {
	return slices.ContainsFunc(j.faults, func(f fault) bool { return f.Monitor && f.From <= to && f.To >= from })
}

// rightState: a stop that was recorded before the end decides, then the exit. What was
// never started may have expired, or have been rejected.
func (j *judge) rightState(id string, s *story, end *deputy.Event) {
	want := deputy.Failed
	switch got := exitText(end.Exit); {
	case len(s.stops) > 0:
		want = s.stops[0].State
	case strings.HasPrefix(got, "unknown"):
		want = deputy.Unknown
	case got == "none" && len(s.started) == 0 && (end.State == deputy.Expired || end.State == deputy.Rejected):
		want = end.State
	case got == "code:0":
		want = deputy.Succeeded
	}
	if end.State != want {
		j.breach("3: exactly one end", id, "it is %s (%s), want %s", end.State, end.Reason, want)
	}
	if len(s.stops) > 0 && (end.Receipt == nil || !end.Receipt.Empty) {
		j.breach("4: nothing of an ended task lives", id, "it was stopped without a receipt that says so")
	}
}

// exitText writes an exit as actors do: code:N, signal:N, unknown:CAUSE, none.
func exitText(x *deputy.Exit) string {
	switch {
	case x == nil:
		return "none"
	case x.Code != nil:
		return "code:" + strconv.Itoa(*x.Code)
	case x.Signal != "":
		return fmt.Sprintf("signal:%d", unix.SignalNum(x.Signal))
	}
	return "unknown:" + x.Unknown
}

// history: the list of the API is what the journal tells, in its order.
func (j *judge) history() {
	ids := j.ids()
	if len(ids) != len(j.tasks) {
		j.breach("the history is the journal", "", "it lists %d tasks, the journal has %d", len(j.tasks), len(ids))
	}
	listed := map[string]bool{}
	for i := range j.tasks {
		t := &j.tasks[i]
		if listed[t.ID] {
			j.breach("the history is the journal", t.ID, "it is listed twice")
		}
		listed[t.ID] = true
		s := j.stories[t.ID]
		if s == nil {
			j.breach("the history is the journal", t.ID, "it is listed, and the journal does not have it")
			continue
		}
		if n := len(ids) - 1 - i; n >= 0 && ids[n] != t.ID && len(ids) == len(j.tasks) {
			j.breach("the history is the journal", t.ID, "it stands where %s should", ids[n])
		}
		if diff := s.differs(t); diff != "" {
			j.breach("the history is the journal", t.ID, "it differs (-journal +history): %s", diff)
		}
	}
	for _, id := range ids {
		if !listed[id] {
			j.breach("the history is the journal", id, "it is not listed")
		}
	}
}

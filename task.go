package deputy

import (
	"encoding/json"
	"time"
)

// State is where a task stands. A task has exactly one end. Whether it has come is
// said by the Task's member Ended, not by the state's name: a later version may name
// states that this one does not know.
type State string

const (
	Queued           State = "queued"
	AwaitingApproval State = "awaiting_approval"
	Running          State = "running"
	Stopping         State = "stopping"
	Succeeded        State = "succeeded"
	Failed           State = "failed"
	Stopped          State = "stopped"
	TimedOut         State = "timed_out"
	Expired          State = "expired"  // it was not started in its time
	Rejected         State = "rejected" // it was refused after it had been accepted, and never started
	Unknown          State = "unknown"
)

// LiveStates lists the states of tasks that have not ended.
func LiveStates() []State { return []State{Queued, AwaitingApproval, Running, Stopping} }

// States lists every state, the live ones first.
func States() []State {
	return append(LiveStates(), Succeeded, Failed, Stopped, TimedOut, Expired, Rejected, Unknown)
}

// Task is one accepted run of an action, as every front door shows it. Every
// member is always present in JSON, null where it has no value.
type Task struct {
	ID       string    `json:"id"` // UUIDv7
	Module   string    `json:"module"`
	Action   string    `json:"action"`
	Params   Params    `json:"params"` // its own values; a sensitive one as "hmac-sha256:HEX"
	Lock     *string   `json:"lock"`
	Caller   Caller    `json:"caller"`
	Joined   []Caller  `json:"joined"` // who asked for it again and was given this task, each once
	Waits    bool      `json:"-"`      // it has not begun, as far as its records tell, and may wait: for what, the monitor knows
	Parties  []Party   `json:"-"`      // the same with the end users that they named: what each may see follows from it
	EndUser  *string   `json:"end_user"`
	State    State     `json:"state"`
	Reason   *string   `json:"reason"` // one sentence on every end but success
	Created  Time      `json:"created"`
	Started  *Time     `json:"started"`
	Ended    *Time     `json:"ended"`
	Attempt  int       `json:"attempt"` // 0 until the first start
	Progress *Progress `json:"progress"`
	Exit     *Exit     `json:"exit"`
	Stop     *Receipt  `json:"stop"`
	Leftover *int      `json:"leftover"` // processes that outlived the first one and were killed; null until the end

	StdoutBytes int64     `json:"stdout_bytes"`
	StderrBytes int64     `json:"stderr_bytes"`
	StdoutGap   *[2]int64 `json:"stdout_gap"` // [from, to): bytes that the cap took
	StderrGap   *[2]int64 `json:"stderr_gap"`

	// The task itself cut or rewrote its file, as `> /dev/stderr` does: what it
	// had written before is not there.
	StdoutRewritten bool `json:"stdout_rewritten"`
	StderrRewritten bool `json:"stderr_rewritten"`

	Waiting     *Waiting  `json:"waiting"`
	Attempts    []Attempt `json:"attempts"` // in their order; empty until the first start
	Result      Params    `json:"result"`   // the JSON object that it gave
	Usage       *Usage    `json:"usage"`
	Confirm     *Confirm  `json:"confirm"`
	Approval    *Approval `json:"approval"`
	AgainOf     *string   `json:"again_of"` // the id of the task that it repeats
	Why         *string   `json:"why"`      // the reason that whoever asked has stated
	Traceparent *string   `json:"traceparent"`
}

// Party is who asks: a caller, for an end user or for nobody.
type Party struct {
	Caller  Caller `json:"caller"`
	EndUser string `json:"end_user,omitempty"`
}

// UnmarshalJSON reads a caller alone, too: so earlier versions wrote who joined.
func (p *Party) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		*p = Party{}
		return json.Unmarshal(text, &p.Caller)
	}
	type plain Party
	return json.Unmarshal(text, (*plain)(p))
}

// Progress is what a task last told of itself.
type Progress struct {
	Percent *float64 `json:"percent"` // 0 to 100
	Message *string  `json:"message"`
}

// Exit says how a task's first process ended: exactly one member is set. A
// code is never guessed: what is not known is Unknown with its cause.
type Exit struct {
	Code    *int   `json:"code,omitempty"`
	Signal  string `json:"signal,omitempty"`  // like "SIGKILL"
	Unknown string `json:"unknown,omitempty"` // why it is not known
}

// Receipt is the answer of a stop.
type Receipt struct {
	Signalled bool       `json:"signalled"` // the stop signal was sent
	Killed    int        `json:"killed"`    // processes killed after the grace period
	TookMS    int64      `json:"took_ms"`   // from the order to the last process's end
	Empty     bool       `json:"empty"`     // nothing of the task lives
	Proof     string     `json:"proof"`     // what Empty rests on: "cgroup" or "subreaper"
	Survivors []Survivor `json:"survivors,omitempty"`
}

// Survivor is a process that still lived five seconds after it was killed.
type Survivor struct {
	PID   int    `json:"pid"`
	Comm  string `json:"comm"`
	State string `json:"state"` // as in /proc/PID/stat, like "D"
}

// Drain is how a drain stands: whether nothing new is taken, and how many tasks
// live.
type Drain struct {
	Draining bool `json:"draining"`
	Live     int  `json:"live"`
}

// Time is an instant that is written as RFC 3339 in UTC with milliseconds.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes t in UTC with a fixed width, so that text order is time order.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(make([]byte, 0, len(timeLayout)+2), `"`+timeLayout+`"`), nil
}

func (t Time) String() string { return t.UTC().Format(timeLayout) }

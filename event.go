package deputy

import "encoding/json"

// EventType says what a journal record records.
type EventType string

const (
	Checkpoint     EventType = "checkpoint"     // first in each segment: all live state
	MonitorStart   EventType = "monitor_start"  // a monitor took up this journal
	MonitorEnd     EventType = "monitor_end"    // it ended in good order: what no record says to be started was not
	PolicyLoaded   EventType = "policy"         // the full text of the policy now in force
	Accepted       EventType = "accepted"       // a request was accepted whole
	StartIntended  EventType = "start_intended" // a queued task is about to be started
	Started        EventType = "started"        // an attempt's process was born
	StopRequested  EventType = "stop"           // a live task is to be stopped
	Ended          EventType = "ended"          // a task's one end
	Denied         EventType = "denied"         // a request was refused for want of a rule
	NonceUsed      EventType = "nonce"          // a signed request that changes something and has no other record, or a lease for those that change nothing
	Cancelled      EventType = "cancelled"      // records that were never durable, and so never acknowledged
	Retired        EventType = "retired"        // segments about to be deleted, by the head of the last
	OutputRemoved  EventType = "output_removed" // the output of ended tasks was deleted
	DrainOn        EventType = "drain_on"       // nothing new is taken from now on
	DrainOff       EventType = "drain_off"      // requests are taken again
	QueuePaused    EventType = "queue_paused"   // nobody who waits in it begins
	QueueResumed   EventType = "queue_resumed"  // they do again
	UpgradeOrdered EventType = "upgrade"        // the new programs were proved, and are about to be executed
)

// Event is one record of the journal: one line of JSON. The journal sets Seq,
// Prev and Time. Which other members are set depends on Type; each type's are
// named beside the member.
type Event struct {
	Seq  uint64    `json:"seq"`
	Prev string    `json:"prev"` // hex SHA-256 of the whole previous line without its newline; empty in the very first record
	Time Time      `json:"time"`
	Type EventType `json:"type"`

	Format int `json:"format,omitempty"` // Checkpoint: version of the records that follow

	// Who: Accepted, StopRequested, Denied, and PolicyLoaded, DrainOn, DrainOff, QueuePaused, QueueResumed, UpgradeOrdered when asked for.
	Caller  Caller `json:"caller,omitempty"`
	EndUser string `json:"end_user,omitempty"`

	// What: Accepted, Denied, and StopRequested that came through a stops action.
	Module string `json:"module,omitempty"`
	Action string `json:"action,omitempty"`

	Rule   string `json:"rule,omitempty"`   // file:line of the rule that allowed it; Accepted, StopRequested
	Policy string `json:"policy,omitempty"` // digest of the policy in force; PolicyLoaded, Accepted, StartIntended

	Tasks []TaskRecord `json:"tasks,omitempty"` // Accepted: new and joined, in the order of the items
	Key   *Idempotency `json:"idempotency,omitempty"`
	Nonce *Nonce       `json:"nonce,omitempty"` // of a signed request: Accepted, Denied, NonceUsed

	Task    string   `json:"task,omitempty"`    // StartIntended, Started, StopRequested, Ended
	Attempt int      `json:"attempt,omitempty"` // StartIntended, Started, Ended
	PID     int      `json:"pid,omitempty"`     // Started
	Leaf    string   `json:"leaf,omitempty"`    // Started: the attempt's cgroup, or its subreaper's name
	Boot    string   `json:"boot,omitempty"`    // boot id; MonitorStart, Started
	BootNS  int64    `json:"boot_ns,omitempty"` // CLOCK_BOOTTIME in ns: at the start in Started, when it was accepted in Accepted, of the monitor in MonitorStart
	State   State    `json:"state,omitempty"`   // Ended; StopRequested: the state that it will end in
	Reason  string   `json:"reason,omitempty"`  // Ended, StopRequested, Denied, Cancelled, DrainOff
	Exit    *Exit    `json:"exit,omitempty"`    // Ended
	Receipt *Receipt `json:"receipt,omitempty"` // Ended after a stop
	Left    int      `json:"leftover,omitempty"`
	Out     *Output  `json:"stdout,omitempty"` // Ended
	Err     *Output  `json:"stderr,omitempty"` // Ended

	Code     Code         `json:"code,omitempty"`     // Denied
	Count    int          `json:"count,omitempty"`    // Denied: how many more like it, after the hundredth in an hour
	Files    []PolicyFile `json:"files,omitempty"`    // PolicyLoaded
	Version  string       `json:"version,omitempty"`  // MonitorStart, UpgradeOrdered: the one that is to start
	Restored bool         `json:"restored,omitempty"` // MonitorStart: the journal is a restored copy: what was live in it is unknown
	From     uint64       `json:"from,omitempty"`     // Cancelled, Retired, Checkpoint after a failed write: first sequence number
	To       uint64       `json:"to,omitempty"`       // the same: last sequence number
	Replaces []string     `json:"replaces,omitempty"` // Accepted: tasks that are stopped for it
	Queue    string       `json:"queue,omitempty"`    // QueuePaused, QueueResumed: its name
	Head     string       `json:"head,omitempty"`     // Retired: hash of the last deleted record
	IDs      []string     `json:"ids,omitempty"`      // OutputRemoved: tasks; Accepted: the tasks that a stops action stops, or the task of each item where items share one

	Checkpoint json.RawMessage `json:"checkpoint,omitempty"` // the monitor's own, but for its member "tasks": a LiveTask for each id
}

// LiveTask is what a checkpoint tells every reader of a task that had not ended:
// its own records may have been retired. The monitor writes more beside it.
type LiveTask struct {
	Module  string  `json:"module"`
	Action  string  `json:"action"`
	Params  Params  `json:"params"` // sensitive values as "hmac-sha256:HEX"
	Lock    *string `json:"lock"`   // as text
	Caller  Caller  `json:"caller"`
	EndUser string  `json:"end_user,omitempty"`
	Joined  []Party `json:"joined,omitempty"`
	Seq     uint64  `json:"seq"` // of the record that accepted it

	Attempt int    `json:"attempt,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Leaf    string `json:"leaf,omitempty"`    // empty: no start is recorded
	BootNS  int64  `json:"boot_ns,omitempty"` // CLOCK_BOOTTIME in ns at the start
	StopAs  State  `json:"stop_as,omitempty"` // Stopped or TimedOut once a stop is recorded

	Created Time  `json:"created"` // zero in checkpoints of old
	Started *Time `json:"started,omitempty"`
}

// TaskRecord is one task of an accepted request. A joined one existed before
// and carries its ID alone.
type TaskRecord struct {
	ID     string          `json:"id"`
	Joined bool            `json:"joined,omitempty"`
	Params Params          `json:"params,omitempty"`     // sensitive values as "hmac-sha256:HEX"
	Lock   *string         `json:"lock,omitempty"`       // as text
	Parts  []string        `json:"lock_parts,omitempty"` // what Lock was made of, its identity; records of old have none
	Queued bool            `json:"queued,omitempty"`     // waits; otherwise this record is also the intent to start attempt 1
	Run    json.RawMessage `json:"run,omitempty"`        // how it runs and ends, as declared when it was accepted; the monitor's own
}

// Idempotency is what makes the same request give the same tasks.
type Idempotency struct {
	Key    string `json:"key"`
	Digest string `json:"digest"` // of module, action and values
}

// Nonce is what makes a signed request good for once.
type Nonce struct {
	Secret string `json:"secret"` // which of a key's secrets, by a seal
	Nonce  string `json:"nonce"`  // 32 hex digits; of a lease "reads" or "refused": what may be answered without a record
	Time   int64  `json:"ts"`     // Unix seconds, as signed; of a lease: up to when
}

// PolicyFile is one file of the policy, whole.
type PolicyFile struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Output is what was left of a task's stdout or stderr at its end.
type Output struct {
	Bytes     int64     `json:"bytes"`
	Gap       *[2]int64 `json:"gap,omitempty"`       // [from, to): bytes that the cap took
	Rewritten bool      `json:"rewritten,omitempty"` // the task itself cut or rewrote the file

	// The digest is that of the bytes that are kept, one after the other without
	// the gap: of "all", or of "ends", the first and the last 32 MiB of more than
	// 64. Of nothing there is none, nor in records of format 1.
	SHA256   string `json:"sha256,omitempty"` // hex
	SHA256Of string `json:"sha256_of,omitempty"`
}

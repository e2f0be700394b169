package deputy

// The members of a Task that say what it waits for, what became of each of its
// attempts, and what others have to do with it. Each is null where there is nothing to
// say.

// Waiting is what a task that has not begun waits for, as it is now: it is asked for
// when the task is shown, and stands in no record.
type Waiting struct {
	For      WaitsFor `json:"for"`
	Queue    *string  `json:"queue"`    // the name of its queue; null: it is in none
	Position *int     `json:"position"` // how many of the queue would start before it now; null: it is in none
	Since    Time     `json:"since"`
	Until    *Time    `json:"until"` // when the wait is over, whatever comes; null: it lasts as long as it lasts
	Task     *string  `json:"task"`  // the id of the task that it waits for; null: there is none, or whoever asks may not see it
}

// WaitsFor names what a task waits for.
type WaitsFor string

const (
	ForLock     WaitsFor = "lock"     // another task holds its lock
	ForQueue    WaitsFor = "queue"    // its queue is full, or paused
	ForDebounce WaitsFor = "debounce" // nobody may ask for it for a while
	ForRetry    WaitsFor = "retry"    // the pause before the next attempt
	ForApproval WaitsFor = "approval" // somebody else has to approve it
	ForDrain    WaitsFor = "drain"    // nothing new is started
)

// Attempt is one start of a task. All attempts write to the same two outputs: of each
// is said which part is its own, as [from, to) in bytes.
type Attempt struct {
	Attempt int      `json:"attempt"` // the first is 1
	Started *Time    `json:"started"` // null: its process was never born
	Ended   *Time    `json:"ended"`   // null: it lives
	Exit    *Exit    `json:"exit"`    // null: it lives, or it had no exit
	Reason  *string  `json:"reason"`  // one sentence on every end but success
	Stdout  [2]int64 `json:"stdout"`
	Stderr  [2]int64 `json:"stderr"` // [0, 0] where both are one file
}

// Usage is what a task took of the machine, all attempts together. A member is null
// where nothing counted it.
type Usage struct {
	CPUMS         *int64  `json:"cpu_ms"`         // processor time, ms
	MemoryPeak    *int64  `json:"memory_peak"`    // bytes
	ProcessesPeak *int64  `json:"processes_peak"` // threads count
	ThrottledMS   *int64  `json:"throttled_ms"`   // ms that it was held back by its limit
	IOBytes       *int64  `json:"io_bytes"`       // read and written
	OOM           *string `json:"oom"`            // out of memory: "limit", its own, or "above", the machine's
}

// Confirm is the window in which what a task did can be confirmed, and is undone
// otherwise.
type Confirm struct {
	Until   Time    `json:"until"`
	Outcome *string `json:"outcome"` // "confirmed", "reverted", "revert_failed", "unknown"; null: it is open
	Task    *string `json:"task"`    // the id of the task that undoes or keeps it
}

// Approval is the consent that a task needs of others, as the server tells it: who has
// to be sure of the digest makes it anew from what is shown.
type Approval struct {
	Until  Time        `json:"until"`
	By     []Approvers `json:"by"`    // all of them are needed
	Given  []Approved  `json:"given"` // in the order in which they came
	Proof  string      `json:"proof"` // "caller"; "end_user": only the end users differ, which one caller could make up
	Digest string      `json:"digest"`
}

// Approvers are those of whom Count must approve.
type Approvers struct {
	Users    []string `json:"users"`
	Groups   []string `json:"groups"`
	Keys     []string `json:"keys"`
	EndUsers []string `json:"end_users"` // beside one of the above
	Count    int      `json:"count"`
}

// Approved is one approval that was given.
type Approved struct {
	Caller  Caller  `json:"caller"`
	EndUser *string `json:"end_user"`
	Time    Time    `json:"time"`
	Comment *string `json:"comment"`
}

package asker

import (
	"fmt"

	"deputy"
)

// Shown is a task as one asker sees it.
type Shown struct {
	*deputy.Task
	Sight Sight
}

// Form is what is written as JSON.
func (s Shown) Form() any {
	if s.Sight == Whole {
		return s.Task
	}
	t := *s.Task
	t.Reason = plainReason(&t)
	return &outlined{Task: &t}
}

// outlined is a task without what is told to those alone who may see it whole:
// these members are null.
type outlined struct {
	*deputy.Task
	Params      *struct{} `json:"params"`
	Lock        *struct{} `json:"lock"`
	Caller      *struct{} `json:"caller"`
	Joined      *struct{} `json:"joined"`
	EndUser     *struct{} `json:"end_user"`
	Progress    *struct{} `json:"progress"`
	StdoutBytes *struct{} `json:"stdout_bytes"`
	StderrBytes *struct{} `json:"stderr_bytes"`
	StdoutGap   *struct{} `json:"stdout_gap"`
	StderrGap   *struct{} `json:"stderr_gap"`
	StdoutCut   *struct{} `json:"stdout_rewritten"`
	StderrCut   *struct{} `json:"stderr_rewritten"`
	Waiting     *struct{} `json:"waiting"`
	Attempts    *struct{} `json:"attempts"`
	Result      *struct{} `json:"result"`
	Usage       *struct{} `json:"usage"`
	Confirm     *struct{} `json:"confirm"`
	Approval    *struct{} `json:"approval"`
	AgainOf     *struct{} `json:"again_of"`
	Why         *struct{} `json:"why"`
	Traceparent *struct{} `json:"traceparent"`
}

// plainReason says how a task ended without anybody's name, path or value.
func plainReason(t *deputy.Task) *string {
	text := ""
	switch {
	case t.State == deputy.Stopped:
		text = "it was stopped"
	case t.State == deputy.TimedOut:
		text = "its time was over"
	case t.State == deputy.Expired:
		text = "it was not started in its time"
	case t.State == deputy.Rejected:
		text = "it was rejected while it waited"
	case t.State == deputy.Unknown:
		text = "its status is not known"
	case t.State != deputy.Failed:
		return nil
	case t.Started == nil || t.Exit == nil:
		text = "it was not started"
	case t.Exit.Signal != "":
		text = "it was killed by " + t.Exit.Signal
	case t.Exit.Code != nil:
		text = fmt.Sprintf("it exited with code %d", *t.Exit.Code)
	}
	return &text
}

// Event is an event without the hash of the one before, which says nothing to
// someone who does not see them all.
type Event struct {
	deputy.Event
	Prev *string `json:"prev,omitempty"` // hides Event.Prev
}

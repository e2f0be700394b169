package httpapi

import (
	"fmt"
	"slices"

	"deputy"
)

// sight is how much of a task is shown to whoever asks.
type sight int

const (
	hidden  sight = iota // it is said not to be there
	outline              // its state, its times and its end: who joined what another party had asked for
	whole
)

// reaches says whether whoever asks reaches what a party asked for: the same caller
// does, in the same end user's name or in nobody's.
func (x *exchange) reaches(p deputy.Party) bool {
	return p.Caller == x.peer.caller && (x.endUser == "" || x.endUser == p.EndUser)
}

// owns says whether a task was first asked for by whoever asks now.
func (x *exchange) owns(t *deputy.Task) bool {
	p := deputy.Party{Caller: t.Caller}
	if t.EndUser != nil {
		p.EndUser = *t.EndUser
	}
	return x.reaches(p)
}

// sight says how much of a task the caller sees: all of what it started, or may
// read by a rule, an outline of what it joined. One that names an end user sees
// what it asked for in that name alone; the monitor first says whether it may
// name one.
func (x *exchange) sight(t *deputy.Task) (sight, error) {
	own := x.owns(t)
	if own && x.endUser == "" {
		return whole, nil
	}
	rights, err := x.rights()
	switch {
	case err != nil:
		return hidden, err
	case own || rights.MayRead(t.Module, t.Action, t.Params):
		return whole, nil
	case slices.ContainsFunc(t.Parties, x.reaches):
		return outline, nil
	}
	return hidden, nil
}

// show gives a task that the caller was given, in the form in which it may see it:
// what cannot be found out is not shown.
func (x *exchange) show(t *deputy.Task) shown {
	if x.owns(t) { // the monitor has taken this request, in whosever name it is
		return shown{t, whole}
	}
	if s, err := x.sight(t); err == nil && s == whole {
		return shown{t, whole}
	}
	return shown{t, outline}
}

// shown is a task as one caller sees it.
type shown struct {
	*deputy.Task
	sight sight
}

// form is what is written as JSON.
func (s shown) form() any {
	if s.sight == whole {
		return s.Task
	}
	t := *s.Task
	t.Reason = plainReason(&t)
	return &outlined{Task: &t}
}

func forms(tasks []shown) []any {
	list := make([]any, len(tasks))
	for i := range tasks {
		list[i] = tasks[i].form()
	}
	return list
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
}

// plainReason says how a task ended without anybody's name, path or value.
func plainReason(t *deputy.Task) *string {
	text := ""
	switch {
	case t.State == deputy.Stopped:
		text = "it was stopped"
	case t.State == deputy.TimedOut:
		text = "its time was over"
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

// needWhole refuses the output of a task to who sees but an outline of it.
func (x *exchange) needWhole() error {
	if x.seen == whole {
		return nil
	}
	return deputy.Refuse(deputy.NotAllowed, "%s may not see what task %s writes: another asked for it first, and you have joined; a rule for %s/%s with read = true would allow it",
		x.peer.caller, x.id, x.task.Module, x.task.Action)
}

package asker

import (
	"context"
	"errors"
	"slices"

	"deputy"
)

// Sight is how much of a task is shown to whoever asks.
type Sight int

const (
	Hidden  Sight = iota // it is said not to be there
	Outline              // its state, its times and its end: who joined what another party had asked for
	Whole
)

// reaches says whether the asker reaches what a party asked for: the same caller
// does, in the same end user's name or in nobody's.
func (a *Asker) reaches(p deputy.Party) bool {
	return p.Caller == a.session.caller && (a.EndUser == "" || a.EndUser == p.EndUser)
}

// owns says whether a task was first asked for by whoever asks now.
func (a *Asker) owns(t *deputy.Task) bool {
	p := deputy.Party{Caller: t.Caller}
	if t.EndUser != nil {
		p.EndUser = *t.EndUser
	}
	return a.reaches(p)
}

// sight says how much of a task the asker sees: all of what it started, or may
// read by a rule, an outline of what it joined. One that names an end user sees
// what it asked for in that name alone; the monitor first says whether it may
// name one.
func (a *Asker) sight(ctx context.Context, t *deputy.Task) (Sight, error) {
	own := a.owns(t)
	if own && a.EndUser == "" {
		return Whole, nil
	}
	rights, err := a.Rights(ctx)
	switch {
	case err != nil:
		return Hidden, err
	case own || rights.MayRead(t.Module, t.Action, t.Params):
		return Whole, nil
	case slices.ContainsFunc(t.Parties, a.reaches):
		return Outline, nil
	}
	return Hidden, nil
}

// Find finds a task. One that the asker may not see is said not to be there; to
// who means to stop it and may, its outline is.
func (a *Asker) Find(ctx context.Context, id string, toStop bool) (Shown, error) {
	task, found, err := a.session.of.tasks.Task(ctx, id)
	if err != nil {
		return Shown{}, err
	}
	if !found {
		return Shown{}, a.UnknownTask(id)
	}
	seen, err := a.sight(ctx, &task)
	if err != nil {
		return Shown{}, err
	}
	if seen == Hidden && toStop {
		rights, err := a.Rights(ctx)
		if err != nil {
			return Shown{}, err
		}
		if rights.MayStop(task.Module, task.Action, task.Params) {
			seen = Outline
		}
	}
	if seen == Hidden {
		return Shown{}, a.UnknownTask(id)
	}
	return Shown{&task, seen}, nil
}

// UnknownTask is the refusal for a task that is not there, or not for this asker.
func (a *Asker) UnknownTask(id string) error {
	return deputy.Refuse(deputy.UnknownTask, "cannot find task %.50q: there is none, or %s may not see it; see: deputy ps -a", id, a.Caller())
}

// Given finds a task that the asker was given, in the form in which it may see it.
func (a *Asker) Given(ctx context.Context, id string) (Shown, error) {
	task, found, err := a.session.of.tasks.Task(ctx, id)
	if err != nil {
		return Shown{}, err
	}
	if !found {
		return Shown{}, errors.New("a task that the monitor named is not in the history: " + id)
	}
	return a.show(ctx, &task), nil
}

// show gives a task that the asker was given: what cannot be found out is not
// shown.
func (a *Asker) show(ctx context.Context, t *deputy.Task) Shown {
	if a.owns(t) { // the monitor has taken this request, in whosever name it is
		return Shown{t, Whole}
	}
	if s, err := a.sight(ctx, t); err == nil && s == Whole {
		return Shown{t, Whole}
	}
	return Shown{t, Outline}
}

// Selection is which tasks of a list the asker sees.
type Selection struct {
	Visible func(*deputy.Task) bool // nil: all
	Caller  deputy.Caller           // none but those with which this caller has to do; empty: those of others, too

	show func(*deputy.Task) Shown
}

// Select says which tasks of a list the asker sees. byHidden: the list is chosen
// by what an outline does not show, and would tell it.
func (a *Asker) Select(ctx context.Context, byHidden bool) (Selection, error) {
	rights, err := a.Rights(ctx)
	if err != nil {
		return Selection{}, err
	}
	if rights.Auditor {
		return Selection{show: func(t *deputy.Task) Shown { return Shown{t, Whole} }}, nil
	}
	s := Selection{show: func(t *deputy.Task) Shown { return a.show(ctx, t) }}
	s.Visible = func(t *deputy.Task) bool {
		seen, err := a.sight(ctx, t)
		return err == nil && (seen == Whole || seen == Outline && !byHidden)
	}
	if len(rights.Read) == 0 {
		s.Caller = a.Caller()
	}
	return s, nil
}

// Show gives a task that is Visible in the form in which the asker may see it.
func (s *Selection) Show(t *deputy.Task) Shown { return s.show(t) }

package requests

import (
	"fmt"
	"maps"
	"slices"

	"deputy"
	"deputy/internal/wall"
)

// A verb is its row of the wall's table and its handler. One without an access or without
// a handler is refused at the start: nothing is public because it was forgotten.

// Verb is what may be asked for, and what does it.
type Verb struct {
	wall.Verb
	Do func(Asked) // nil: it is no request of its own
}

// Verbs are all of them.
type Verbs map[wall.Kind]Verb

// Join gives each row its handler.
func Join(rows map[wall.Kind]wall.Verb, handlers map[wall.Kind]func(Asked)) Verbs {
	all := Verbs{}
	for kind, row := range rows {
		all[kind] = Verb{row, handlers[kind]}
	}
	for kind, do := range handlers {
		all[kind] = Verb{rows[kind], do}
	}
	return all
}

// Check refuses verbs that nobody guards, or that nothing does: with them nothing is
// served at all.
func (v Verbs) Check() error {
	for _, kind := range slices.Sorted(maps.Keys(v)) {
		switch row := v[kind]; row.Access {
		case wall.Opening, wall.Signer:
			if row.Do != nil {
				return fmt.Errorf("cannot serve: the verb %q (kind %d) has a handler, and nobody may ask for it", row.Name, kind)
			}
		case wall.Anyone, wall.Server, wall.Caller, wall.Operator:
			if row.Do == nil {
				return fmt.Errorf("cannot serve: the verb %q (kind %d) has no handler", row.Name, kind)
			}
		default:
			return fmt.Errorf("cannot serve: the verb %q (kind %d) has no access", row.Name, kind)
		}
	}
	return nil
}

// refuse says why whoever asks may not ask for the verb, whatever for; nil: it may.
func (v *Verb) refuse(a Asked) *deputy.Error {
	switch {
	case v.Access == wall.Caller, v.Access == wall.Operator && a.J.Operator():
		return nil
	case v.Access == wall.Operator:
		return deputy.Refuse(deputy.NotAllowed, "%s may not %s: only an operator may", a.ID, v.Name)
	}
	return deputy.Refuse(deputy.NotAllowed, "%s may not ask for this", a.ID)
}

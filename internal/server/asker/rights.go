package asker

import (
	"context"
	"errors"
	"slices"

	"deputy"
	"deputy/internal/wall"
)

// Rights says what the asker may beyond its own tasks.
func (a *Asker) Rights(ctx context.Context) (*deputy.Rights, error) {
	s := a.session
	now := s.of.policy.Load()
	if s.network { // the monitor gave them with its answer
		switch r := s.rights[a.EndUser]; {
		case r == nil:
			return nil, errors.New("the rights of a signed request are not known before it is verified")
		case s.policy != now:
			return nil, ErrPolicyChanged
		default:
			return r, nil
		}
	}
	s.current(now)
	if r := s.rights[a.EndUser]; r != nil {
		return r, nil
	}
	outcome, err := a.Ask(ctx, wall.Request{Kind: wall.Rights})
	if err != nil {
		return nil, err
	}
	if outcome.Rights == nil {
		outcome.Rights = &deputy.Rights{Caller: s.caller}
	}
	s.rights[a.EndUser] = outcome.Rights
	return outcome.Rights, nil
}

// CallerRights are those of the caller itself, whomever it names.
func (a *Asker) CallerRights(ctx context.Context) (*deputy.Rights, error) {
	caller := Asker{session: a.session}
	return caller.Rights(ctx)
}

// Actions gives what the asker may use.
func (a *Asker) Actions(ctx context.Context) ([]deputy.ActionInfo, error) {
	s := a.session
	if s.network {
		return s.actions, nil
	}
	now := s.of.policy.Load()
	s.current(now)
	if s.actions != nil {
		return s.actions, nil
	}
	outcome, err := a.Ask(ctx, wall.Request{Kind: wall.Actions})
	if err != nil {
		return nil, err
	}
	if outcome.Actions == nil {
		outcome.Actions = []deputy.ActionInfo{}
	}
	now.learn(s.caller, outcome.Actions)
	s.actions = outcome.Actions
	return outcome.Actions, nil
}

// AllActions gives all actions, and who may use them, to an auditor.
func (a *Asker) AllActions(ctx context.Context) ([]deputy.ActionInfo, error) {
	if a.session.network { // the monitor has read in the signed target that all are wanted
		return a.session.actions, nil
	}
	outcome, err := a.Ask(ctx, wall.Request{Kind: wall.Actions, All: true})
	return outcome.Actions, err
}

// Action finds one of the actions that the asker may use; nil: it is not among
// them.
func (a *Asker) Action(ctx context.Context, module, action string) (*deputy.ActionInfo, error) {
	actions, err := a.Actions(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(actions, func(a deputy.ActionInfo) bool { return a.Module == module && a.Action == action })
	if i < 0 {
		return nil, nil
	}
	return &actions[i], nil
}

// MaxBody is the longest body for an action, in bytes. Which actions there are is
// the asker's to know: one that it may not use has the default.
func (a *Asker) MaxBody(ctx context.Context, module, action string, standard int64) (int64, error) {
	s := a.session
	if limit, known := s.of.policy.Load().limit(usable{s.caller, module, action}); known {
		return limit, nil
	}
	info, err := a.Action(ctx, module, action)
	if err != nil || info == nil {
		return standard, err
	}
	return info.MaxBody, nil
}

// Explain says what a call would be told; as is the caller that it is about, or
// empty. It is the monitor that knows who may hear how much.
func (a *Asker) Explain(ctx context.Context, as, module, action string, params deputy.Params) (*deputy.Explanation, error) {
	outcome, err := a.Ask(ctx, wall.Request{Kind: wall.Explain, Module: module, Action: action, As: as, Params: params})
	return outcome.Explain, err
}

// BehindAction gives what goes before err: that there is no such action, or that
// this asker may not have it. Over a network who asks is not known yet.
func (a *Asker) BehindAction(ctx context.Context, module, action string, err error) error {
	if a.session.network {
		return err
	}
	info, askErr := a.Action(ctx, module, action)
	if askErr != nil {
		return askErr
	}
	if info != nil {
		return err
	}
	e, askErr := a.Explain(ctx, "", module, action, deputy.Params{})
	if askErr != nil {
		return askErr
	}
	if e != nil && e.Error != nil && (e.Error.Code == deputy.UnknownAction || e.Error.Code == deputy.NotAllowed) {
		return e.Error
	}
	return err
}

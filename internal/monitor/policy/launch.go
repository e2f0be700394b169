package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/manifest/template"
)

// Context is what a task's environment tells of its run.
type Context struct {
	Task         string
	Attempt      int
	Caller       deputy.Caller
	EndUser      string
	NotifySocket string // empty: none
}

// Process is what a task runs.
type Process struct {
	Argv      []string
	Env       []string // NAME=value, each name once
	Dir       string
	Stdin     []byte // nil: /dev/null, or StdinFile
	StdinFile string // a file beneath the declared directory; empty: none
}

// Launch makes what a task runs, of its own params and secrets alone. Both may
// come from the journal's JSON if its numbers are deputy.Number or json.Number:
// they are held against their declarations again.
func Launch(a *manifest.Action, params, secrets map[string]any, c Context) (*Process, error) {
	values, err := typed(a, params, secrets)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s/%s: %w", a.Module, a.Name, err)
	}
	proc, err := process(a, values, c)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s/%s: %w", a.Module, a.Name, err)
	}
	return proc, nil
}

// typed brings a task's own values to their types, secrets in place of seals.
func typed(a *manifest.Action, params, secrets map[string]any) (map[string]any, error) {
	values := make(map[string]any, len(params))
	for name, v := range params {
		declared := a.Params[name]
		if a.ForEach != nil && name == a.ForEach.Item {
			if list := a.Params[a.ForEach.List]; list != nil {
				declared = list.Items
			}
		}
		if declared == nil {
			return nil, &template.ValueError{Param: name, Reason: "is not declared any more"}
		}
		if declared.Sensitive {
			secret, ok := secrets[name]
			if !ok {
				return nil, &template.ValueError{Param: name, Reason: "is a secret that is gone"}
			}
			v = secret
		}
		value, err := declared.Check(v)
		if err != nil {
			return nil, &template.ValueError{Param: name, Reason: err.Error()}
		}
		values[name] = value
	}
	return values, nil
}

func process(a *manifest.Action, values template.Values, c Context) (*Process, error) {
	if a.Command == nil {
		return nil, errors.New("it starts nothing")
	}
	argv, err := a.Command.Argv(values, func(name string) bool { return mayDash(a, name) })
	if err != nil {
		return nil, err
	}
	env, err := environment(a, values, c)
	if err != nil {
		return nil, err
	}
	proc := &Process{Argv: argv, Env: env, Dir: a.Directory}
	if a.Stdin != nil {
		text, err := a.Stdin.Expand(values)
		if err != nil {
			return nil, err
		}
		proc.Stdin = append([]byte{}, text...) // declared and empty is not nil
	}
	if a.StdinFile != nil {
		if proc.StdinFile, err = a.StdinFile.Path.Expand(values); err != nil {
			return nil, err
		}
	}
	return proc, nil
}

func mayDash(a *manifest.Action, name string) bool {
	if a.ForEach != nil && name == a.ForEach.Item {
		name = a.ForEach.List
	}
	return a.Params[name] != nil && a.Params[name].MayStartWithDash()
}

// environment is made from nothing: the fixed part, the user's, the declared
// part in the order of the names, and last deputy's own, which no declaration
// can replace.
func environment(a *manifest.Action, values template.Values, c Context) ([]string, error) {
	var names []string
	text := map[string]string{}
	set := func(name, value string) {
		if _, again := text[name]; !again {
			names = append(names, name)
		}
		text[name] = value
	}
	for _, v := range fixed(a.User) {
		set(v[0], v[1])
	}
	for _, name := range slices.Sorted(maps.Keys(a.Env)) {
		value, err := a.Env[name].Expand(values)
		if err != nil {
			return nil, err
		}
		set(name, value)
	}
	if c.NotifySocket != "" {
		set("NOTIFY_SOCKET", c.NotifySocket)
	}
	set("DEPUTY_TASK", c.Task)
	set("DEPUTY_MODULE", a.Module)
	set("DEPUTY_ACTION", a.Name)
	set("DEPUTY_CALLER", string(c.Caller))
	set("DEPUTY_END_USER", c.EndUser)
	set("DEPUTY_ATTEMPT", strconv.Itoa(c.Attempt))
	env := make([]string, len(names))
	for i, name := range names {
		env[i] = name + "=" + text[name]
	}
	return env, nil
}

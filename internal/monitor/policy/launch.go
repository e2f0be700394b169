package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

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
	StdinFile *File  // nil: none
	Files     []File // to be descriptors 3, 4 …
}

// File is a file that is to be opened for a task, with the rights of its user:
// an existing regular one, beneath Under, following no links and crossing no
// mounts. Nothing of it has been looked at.
type File struct {
	Under string // an absolute directory, which is itself reached without links
	Path  string // from Under on, without "..", "." or a slash at its begin
}

// firstFile is the descriptor of the first of Files.
const firstFile = 3

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
	inCommand, files := hand(a, values)
	argv, err := a.Command.Argv(inCommand, func(name string) bool { return mayDash(a, name) })
	if err != nil {
		return nil, err
	}
	env, err := environment(a, values, c)
	if err != nil {
		return nil, err
	}
	proc := &Process{Argv: argv, Env: env, Dir: a.Directory, Files: files}
	if a.Stdin != nil {
		text, err := a.Stdin.Expand(values)
		if err != nil {
			return nil, err
		}
		proc.Stdin = append([]byte{}, text...) // declared and empty is not nil
	}
	if a.StdinFile != nil {
		path, err := a.StdinFile.Path.Expand(values)
		if err != nil {
			return nil, err
		}
		proc.StdinFile = &File{a.StdinFile.Under, beneath(a.StdinFile.Under, path)}
	}
	return proc, nil
}

// hand gives the values as they stand in the command: a file that the task gets
// opened is there the name of its descriptor. One that no argument names has none.
func hand(a *manifest.Action, values template.Values) (template.Values, []File) {
	if len(a.Opened) == 0 {
		return values, nil
	}
	var files []File
	inCommand, given := maps.Clone(values), a.Command.Given(values)
	for _, o := range a.Opened {
		if path, ok := values[o.Param].(string); ok && given[o.Param] {
			inCommand[o.Param] = "/dev/fd/" + strconv.Itoa(firstFile+len(files))
			files = append(files, File{o.Under, beneath(o.Under, path)})
		}
	}
	return inCommand, files
}

// beneath is a checked path from its folder on.
func beneath(under, path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, under), "/")
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
		set("DEPUTY_NOTIFY_SOCKET", c.NotifySocket)
		if a.SDNotify { // who finds it takes itself for a service, and may wait for the answer of a manager
			set("NOTIFY_SOCKET", c.NotifySocket)
		}
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

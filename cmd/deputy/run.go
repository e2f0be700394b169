package main

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
)

func newRun(a *app) *cobra.Command {
	k := &ask{}
	cmd := &cobra.Command{
		Use:   "run MODULE ACTION [name=value …]",
		Short: "Ask for an action and stay: its output and exit code are mine",
		Long: `Ask for an action and stay: its output and exit code are mine.

The task's stdout and stderr are copied to your own, byte for byte, and deputy
ends as the task does. Where another asked for the same first you are given that
task: how it ends is shown, what it writes is not, unless a rule lets you read.
Ctrl-C detaches: the task goes on. If the server restarts meanwhile, deputy goes
on at the same byte.

A value is read as the type that the action declares. Repeat name=value for a
list; name=@FILE takes the value from a file, name=@- from stdin, and name=@@x
is the text "@x". Where there are several tasks (one for each item of a list),
each line is marked with its task's id.`,
		Example: `  deputy run service restart unit=nginx.service
  deputy run portscan scan hosts=127.0.0.1 ports=22 ports=80
  deputy run mail send text=@letter.txt
  echo '{"task_ids":[1,2]}' | deputy run SCAN_MODULE start --params -`,
		Annotations: map[string]string{exitStatus: `the task's own exit code, or
124  its timeout ended it
125  refused or unreachable, or it expired or was rejected: nothing started
126  the action's program cannot be executed
127  the action's program was not found
128+N  signal N ended it
130  you detached (Ctrl-C); it goes on
143  it was stopped
255  what became of it is not known
Of several tasks, the first that did not succeed decides.`},
		Args: func(cmd *cobra.Command, args []string) error {
			return attached(atLeast(2, "a module and an action")(cmd, args))
		},
		ValidArgsFunction: a.completeCall,
		RunE: func(cmd *cobra.Command, args []string) error {
			return attached(runVerb(cmd.Context(), a, k, args))
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return attached(usage("%s; see: deputy run --help", flagWords(err)))
	})
	k.flags(cmd)
	return cmd
}

func runVerb(ctx context.Context, a *app, k *ask, args []string) error {
	c := a.connect()
	tasks, err := k.send(ctx, a, c, args, 0)
	if err != nil {
		return err
	}
	if stopped(tasks, args[1]) {
		for i := range tasks {
			end, err := c.Wait(ctx, tasks[i].ID)
			if err != nil {
				return err
			}
			tasks[i].Task = *end
		}
		return a.showStopped(tasks)
	}
	var ids []string
	for _, t := range distinct(tasks) {
		ids = append(ids, t.ID)
	}
	return a.attach(ctx, c, ids)
}

// attach copies the outputs of tasks until all have ended, and ends as they do.
func (a *app) attach(ctx context.Context, c *client.Client, ids []string) error {
	s := &screen{a: a}
	stopBar := s.showProgress(ctx, c, ids)
	ends := make([]*deputy.Task, len(ids))
	errs := make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() { ends[i], errs[i] = s.follow(ctx, c, id, len(ids) > 1) })
	}
	all.Wait()
	stopBar()
	if err := errors.Join(errs...); err != nil {
		return s.detached(ctx, ids, err)
	}
	status := 0
	for _, t := range ends {
		s.tellEnd(t)
		if status == 0 {
			status = taskStatus(t)
		}
	}
	return silent(status)
}

// follow copies both outputs of a task at once, and gives it once it has ended.
func (s *screen) follow(ctx context.Context, c *client.Client, id string, several bool) (*deputy.Task, error) {
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	copyOne := func(stream string, w io.Writer) error {
		sink := s.sink(id, stream, w, several)
		_, err := c.Follow(both, id, stream, 0, sink)
		return errors.Join(err, sink.finish())
	}
	var stderr error
	var other sync.WaitGroup
	other.Go(func() { stderr = copyOne(client.Stderr, s.a.err) })
	err := copyOne(client.Stdout, s.a.out)
	if err != nil {
		cancel() // the other would wait for an end that nobody sees
	}
	other.Wait()
	err = errors.Join(err, stderr)
	if refused := (*client.Error)(nil); errors.As(err, &refused) && refused.Refusal.Code == deputy.NotAllowed {
		s.say("…%s its output is not shown: %s", short(id), refused.Refusal.Detail)
		err = nil // its end is
	}
	if err != nil {
		return nil, err
	}
	return c.Wait(ctx, id)
}

// tellEnd says how a task ended where its exit code alone would not.
func (s *screen) tellEnd(t *deputy.Task) {
	if s.a.json {
		_ = jsonLine(writer{s, s.a.out}, piece{Task: t.ID, End: t})
		return
	}
	own := t.State == deputy.Failed && t.Exit != nil && t.Exit.Code != nil && *t.Exit.Code < 126
	if t.State != deputy.Succeeded && !own {
		s.say("…%s %s", short(t.ID), ended(t))
	}
	if t.Leftover != nil && *t.Leftover > 0 {
		s.say("…%s %s: a task ends with its first process, and nothing of it stays; see linger in the manifest", short(t.ID), leftoverWords(*t.Leftover))
	}
}

// detached says what goes on without us and how to end it.
func (s *screen) detached(ctx context.Context, ids []string, err error) error {
	names := ""
	for _, id := range ids {
		names += " " + short(id)
	}
	if ctx.Err() != nil {
		if s.a.errTerm {
			s.write(s.a.err, []byte("\n"))
		}
		s.say("detached; it goes on. Watch it with: deputy logs -f%s; stop it with: deputy stop%s",
			" "+short(ids[0]), names)
		return silent(statusInterrupted)
	}
	s.say("cannot follow further, but it goes on. Look with: deputy show %s; stop it with: deputy stop%s",
		short(ids[0]), names)
	return &exitError{statusUnknown, err}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
)

// logs is what of which output is shown.
type logs struct {
	follow, stderr bool
	lines          int // -1: all
	since          string
}

func newLogs(a *app) *cobra.Command {
	l := &logs{}
	cmd := &cobra.Command{
		Use:   "logs [ID]",
		Short: "Show or follow what a task writes",
		Long: `Show or follow what a task writes: your newest if you name none.

Its stdout goes to your stdout and its stderr to your stderr, byte for byte. What
lies beyond the output's cap is gone; stderr then says which bytes. With --since
the output of each of your tasks since then, marked with its id.`,
		Example: `  deputy logs -f
  deputy logs -n 20 39e8184c
  deputy logs --stderr 39e8184c | grep -i error
  deputy logs --since 1h`,
		Annotations:       map[string]string{exitStatus: plainStatus},
		Args:              atMost(1, "one id"),
		ValidArgsFunction: a.completeIDs(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notNegative(cmd, "lines", l.lines); err != nil {
				return err
			}
			return logsVerb(cmd.Context(), a, l, args)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&l.follow, "follow", "f", false, "go on until the task has ended")
	f.IntVarP(&l.lines, "lines", "n", -1, "the last `N` lines alone")
	f.BoolVar(&l.stderr, "stderr", false, "the task's stderr alone, on my stdout")
	f.StringVar(&l.since, "since", "", "my tasks since this `TIME`: like 2h, or 2006-01-02T15:04:05Z")
	return cmd
}

func logsVerb(ctx context.Context, a *app, l *logs, args []string) error {
	if l.since != "" && len(args) > 0 {
		return usage("--since picks tasks, not lines: output carries no times. Leave out the id, or take -n")
	}
	c := a.connect()
	ids, err := a.logged(ctx, c, l, firstOr(args, "@"))
	if err != nil {
		return err
	}
	s := &screen{a: a}
	if l.follow {
		stop := s.showProgress(ctx, c, ids)
		defer stop()
	}
	errs := make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		one := func() { errs[i] = s.show(ctx, c, l, id, l.since != "") }
		if l.follow {
			all.Go(one)
		} else {
			one()
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// logged gives the tasks whose output is wanted, oldest first.
func (a *app) logged(ctx context.Context, c *client.Client, l *logs, typed string) ([]string, error) {
	if l.since == "" {
		id, err := a.resolve(ctx, c, typed)
		return []string{id}, err
	}
	since, err := a.instant(l.since)
	if err != nil {
		return nil, err
	}
	var ids []string
	q := client.Query{Caller: a.caller(), Since: since, Limit: pageSize}
	err = c.Each(ctx, q, func(t *deputy.Task) bool {
		ids = append([]string{t.ID}, ids...)
		return true
	})
	return ids, err
}

// show writes the wanted outputs of one task: one after the other, or both at
// once while following.
func (s *screen) show(ctx context.Context, c *client.Client, l *logs, id string, marked bool) error {
	if l.stderr {
		return s.copy(ctx, c, l, id, client.Stderr, s.a.out, marked)
	}
	if !l.follow {
		err := s.copy(ctx, c, l, id, client.Stdout, s.a.out, marked)
		return errors.Join(err, s.copy(ctx, c, l, id, client.Stderr, s.a.err, marked))
	}
	var stderr error
	var other sync.WaitGroup
	other.Go(func() { stderr = s.copy(ctx, c, l, id, client.Stderr, s.a.err, marked) })
	err := s.copy(ctx, c, l, id, client.Stdout, s.a.out, marked)
	other.Wait()
	return errors.Join(err, stderr)
}

// copy writes one output from where its last lines begin.
func (s *screen) copy(ctx context.Context, c *client.Client, l *logs, id, stream string, w io.Writer, marked bool) error {
	offset := int64(0)
	if l.lines >= 0 {
		var err error
		if offset, err = lastLines(ctx, c, id, stream, l.lines); err != nil {
			return err
		}
	}
	sink := s.sink(id, stream, w, marked)
	if j, ok := sink.(*jsonSink); ok {
		j.offset = offset
	}
	read := c.Read
	if l.follow {
		read = c.Follow
	}
	_, err := read(ctx, id, stream, offset, sink)
	return errors.Join(err, sink.finish())
}

// lastLines gives the offset at which the last n lines of an output begin. It
// reads backwards in growing steps, so that a large output costs little.
func lastLines(ctx context.Context, c *client.Client, id, stream string, n int) (int64, error) {
	t, err := c.Task(ctx, id, 0)
	if err != nil {
		return 0, err
	}
	size := t.StdoutBytes
	if stream == client.Stderr {
		size = t.StderrBytes
	}
	for window := int64(64 << 10); ; window *= 4 {
		from := max(0, size-window)
		tail := &tail{start: from}
		if _, err := c.Read(ctx, id, stream, from, tail); err != nil {
			return 0, err
		}
		if at, ok := tail.lines(n); ok || from == 0 {
			return at, nil
		}
	}
}

// tail holds the end of an output, after its last gap.
type tail struct {
	start int64
	text  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	return len(p), nil
}

func (t *tail) Gap(_, to int64) error {
	t.start, t.text = to, nil
	return nil
}

func (t *tail) Rewritten(at int64) error {
	t.start, t.text = at, nil
	return nil
}

// lines gives the offset of the last n lines, and whether all of them are here.
func (t *tail) lines(n int) (int64, bool) {
	end := len(t.text)
	if n == 0 {
		return t.start + int64(end), true
	}
	body := bytes.TrimSuffix(t.text, []byte("\n"))
	for range n {
		i := bytes.LastIndexByte(body, '\n')
		if i < 0 {
			return t.start, false
		}
		end, body = i+1, body[:i]
	}
	return t.start + int64(end), true
}

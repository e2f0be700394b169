package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
)

// selection is which live tasks `stop --all` stops.
type selection struct {
	all                  bool
	module, action, lock string
	queue                string
	caller, endUser      string
}

func (s *selection) flags(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&s.all, "all", "a", false, "every live task that you may stop; with one of the following, those alone")
	f.StringVar(&s.module, "module", "", "with -a: of this `MODULE`")
	f.StringVar(&s.action, "action", "", "with -a: of this `ACTION`")
	f.StringVar(&s.lock, "lock", "", "with -a: that holds, or waits for, this `LOCK`")
	f.StringVar(&s.queue, "queue", "", "with -a: of the actions that stand in this `QUEUE`")
	f.StringVar(&s.caller, "caller", "", "with -a: asked for by this `CALLER`: a user, uid:N or key:NAME")
	f.StringVar(&s.endUser, "end-user", "", "with -a: asked for in this `NAME`")
	_ = cmd.RegisterFlagCompletionFunc("module", a.completeModules)
	_ = cmd.RegisterFlagCompletionFunc("queue", func(cmd *cobra.Command, _ []string, word string) (choices, cobra.ShellCompDirective) {
		return a.completeQueues(cmd, nil, word)
	})
}

// check holds the flags against the ids that were typed.
func (s *selection) check(ids []string) error {
	narrowed := cmp.Or(s.module, s.action, s.lock, s.queue, s.caller, s.endUser) != ""
	switch {
	case s.all && len(ids) > 0:
		return usage("deputy stop takes ids, or --all, not both")
	case narrowed && !s.all:
		return usage("--module, --action, --lock, --queue, --caller and --end-user pick from all tasks: add --all")
	case !s.all && len(ids) == 0:
		return usage("deputy stop needs the id of a task; see: deputy stop --help")
	}
	return nil
}

func (s *selection) query() (client.Query, error) {
	q := client.Query{States: deputy.LiveStates(), Module: s.module, Action: s.action, EndUser: s.endUser, Limit: pageSize}
	if s.lock != "" {
		q.Lock = &s.lock
	}
	var err error
	q.Caller, err = caller(s.caller)
	return q, err
}

// stopsAtOnce is how many stops are asked for at the same time. Each holds a
// connection until nothing of its task lives; a caller has 256 by default.
const stopsAtOnce = 128

// stopAllVerb stops what lives and is picked. Newest first, as they are listed:
// what waits for a lock is ended before the task that it waits for, and never
// starts.
func stopAllVerb(ctx context.Context, a *app, s *selection, o client.StopOptions) error {
	q, err := s.query()
	if err != nil {
		return err
	}
	picked := func(*deputy.Task) bool { return true }
	if s.queue != "" {
		queues, err := a.queues(ctx, s.queue)
		if err != nil {
			return err
		}
		picked = func(t *deputy.Task) bool { return slices.Contains(queues[0].Actions, t.Module+"/"+t.Action) }
	}
	c := a.connect()
	var ids []string
	if err := c.Each(ctx, q, func(t *deputy.Task) bool {
		if picked(t) {
			ids = append(ids, t.ID)
		}
		return true
	}); err != nil {
		return err
	}
	b := &broom{a: a}
	slots := make(chan struct{}, stopsAtOnce)
	var all sync.WaitGroup
	for _, id := range ids {
		slots <- struct{}{}
		all.Go(func() {
			t, err := c.Stop(ctx, id, o)
			b.swept(id, t, err)
			<-slots
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return b.report()
}

// broom collects what became of many stops, and says each as it comes.
type broom struct {
	a *app

	mu      sync.Mutex // guards what follows, and the output
	done    []deputy.Task
	refused []refusedStop
	living  int
}

// refusedStop is a task that was not stopped, in `stop --all --json`.
type refusedStop struct {
	ID     string      `json:"id"`
	Code   deputy.Code `json:"code,omitempty"`
	Detail string      `json:"detail"`
}

func (b *broom) swept(id string, t *deputy.Task, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		r := refusedStop{ID: id, Detail: err.Error()}
		if e := (*client.Error)(nil); errors.As(err, &e) {
			r.Code = e.Refusal.Code
		}
		b.refused = append(b.refused, r)
		if !errors.Is(err, context.Canceled) {
			b.a.report(fmt.Errorf("cannot stop …%s: %w", short(id), err))
		}
		return
	}
	b.done = append(b.done, *t)
	if t.Stop != nil && !t.Stop.Empty {
		b.living++
	}
	if !b.a.json {
		fmt.Fprintln(b.a.out, stopWords(b.a.idFor(id), t))
	}
}

// report sums up. It fails if anything still lives or was refused.
func (b *broom) report() error {
	status := 0
	if b.living > 0 || len(b.refused) > 0 {
		status = statusFailed
	}
	if b.a.json {
		out := map[string]any{"tasks": append([]deputy.Task{}, b.done...), "refused": append([]refusedStop{}, b.refused...)}
		if err := b.a.printJSON(out); err != nil {
			return err
		}
		return silent(status)
	}
	switch {
	case len(b.done)+len(b.refused) == 0:
		fmt.Fprintln(b.a.out, "nothing to stop: no such task lives")
	case status == 0:
		fmt.Fprintf(b.a.out, "%s stopped, nothing of them lives\n", count(len(b.done), "task"))
	default:
		fmt.Fprintf(b.a.out, "%s stopped; still alive: %d; refused: %d\n", count(len(b.done)-b.living, "task"), b.living, len(b.refused))
	}
	return silent(status)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
)

func newDrain(a *app) *cobra.Command {
	var timeout time.Duration
	var off bool
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Operators: take nothing new, and wait until all that was accepted has ended",
		Long: `Operators: take nothing new, wait until all that was accepted has ended, and say how
each task did: before maintenance, or a restart of the machine.

Requests that would start a task are refused with 503 (not_durable) and a Retry-After.
All else goes on: what is queued still runs, what lives can be joined, watched and
stopped, and a repeated Idempotency-Key gives its tasks. deputy goes on draining when
this command has ended, and when its monitor is killed; until --off, or until the
service is started anew.`,
		Example: `  deputy drain
  deputy drain --timeout 5m || deputy stop --all
  deputy drain --off`,
		Annotations: map[string]string{exitStatus: `0    nothing lives; with --off: requests are taken again
1    refused, or a task still lives after --timeout; stderr says which
2    the command line is wrong
130  ended by Ctrl-C; deputy goes on draining`},
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if off {
				return undrainVerb(cmd.Context(), a)
			}
			return drainVerb(cmd.Context(), a, timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "wait at most this `TIME` (like 5m)")
	cmd.Flags().BoolVar(&off, "off", false, "take requests again")
	return cmd
}

func undrainVerb(ctx context.Context, a *app) error {
	d, err := a.connect().Drain(ctx, false)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(d)
	}
	fmt.Fprintf(a.out, "requests are taken again; %s live\n", count(d.Live, "task"))
	return nil
}

// drain is a drain that is waited for.
type drain struct {
	a      *app
	c      *client.Client
	screen *screen
	live   map[string]deputy.Task // those that lived when last looked at
	order  []string               // ids of live, oldest first
	ended  []deputy.Task
	unseen int // live tasks that the caller may not see
}

// drainedJSON is what `drain --json` prints.
type drainedJSON struct {
	Draining bool          `json:"draining"`
	Ended    []deputy.Task `json:"ended"`  // what was waited for
	Live     []deputy.Task `json:"live"`   // still, after --timeout
	Unseen   int           `json:"unseen"` // live tasks that the caller may not see
}

func drainVerb(ctx context.Context, a *app, timeout time.Duration) error {
	d := &drain{a: a, c: a.connect(), screen: &screen{a: a}, live: map[string]deputy.Task{}}
	limited := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err := d.wait(limited)
	d.screen.setBar("")
	late := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
	if err != nil && !late {
		return err
	}
	return d.report(late, timeout)
}

// drainEvery is how long one task is waited for before all are looked at again.
const drainEvery = time.Second

// wait has the daemon drain, and returns once nothing lives.
func (d *drain) wait(ctx context.Context) error {
	for {
		state, err := d.c.Drain(ctx, true) // asked again it changes nothing, and says what lives
		if err != nil {
			return err
		}
		if err := d.look(ctx); err != nil {
			return err
		}
		d.unseen = max(0, state.Live-len(d.order))
		if len(d.order) == 0 && d.unseen == 0 {
			return nil
		}
		d.screen.setBar(fmt.Sprintf("draining: %s live, %d ended", count(len(d.order)+d.unseen, "task"), len(d.ended)))
		if len(d.order) > 0 {
			_, err = d.c.Task(ctx, d.order[0], drainEvery)
		} else {
			err = pause(ctx, drainEvery)
		}
		if err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look finds what lives now, and tells how the others ended.
func (d *drain) look(ctx context.Context) error {
	now := map[string]deputy.Task{}
	var order []string
	err := d.c.Each(ctx, client.Query{States: deputy.LiveStates(), Limit: pageSize}, func(t *deputy.Task) bool {
		now[t.ID] = *t
		order = append(order, t.ID)
		return true
	})
	if err != nil {
		return err
	}
	for _, id := range d.order {
		if _, lives := now[id]; lives {
			continue
		}
		t, err := d.c.Task(ctx, id, 0)
		if err != nil {
			return err
		}
		d.ended = append(d.ended, *t)
		if !d.a.json {
			fmt.Fprintf(writer{d.screen, d.a.out}, "%s %s/%s %s\n", d.a.idFor(t.ID), t.Module, t.Action, ended(t))
		}
	}
	slices.Reverse(order)
	d.live, d.order = now, order
	return nil
}

func (d *drain) report(late bool, timeout time.Duration) error {
	a := d.a
	status := 0
	if late {
		status = statusFailed
	}
	if a.json {
		out := drainedJSON{Draining: true, Ended: append([]deputy.Task{}, d.ended...), Live: []deputy.Task{}, Unseen: d.unseen}
		for _, id := range d.order {
			out.Live = append(out.Live, d.live[id])
		}
		if err := a.printJSON(out); err != nil {
			return err
		}
		return silent(status)
	}
	if !late {
		fmt.Fprintf(a.out, "drained: nothing lives; waited for %s%s\n", count(len(d.ended), "task"), tally(d.ended))
		return nil
	}
	return d.late(timeout)
}

// late names what still lives.
func (d *drain) late(timeout time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s still live after %s:", count(len(d.order)+d.unseen, "task"), timeout)
	for _, id := range d.order {
		t := d.live[id]
		fmt.Fprintf(&b, "\n  %s %s/%s %s", d.a.idFor(id), t.Module, t.Action, t.State)
	}
	if d.unseen > 0 {
		fmt.Fprintf(&b, "\n  %d that you may not see", d.unseen)
	}
	b.WriteString("\ndeputy goes on draining; wait on with: deputy drain; end them with: deputy stop --all; take requests again with: deputy drain --off")
	return errors.New(b.String())
}

// tally counts tasks by how they ended: ": 2 succeeded, 1 failed".
func tally(tasks []deputy.Task) string {
	var words []string
	for _, s := range deputy.States() {
		n := 0
		for i := range tasks {
			if tasks[i].State == s {
				n++
			}
		}
		if n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, stateWords(s)))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, ", ")
}

// count writes a number of things: "1 task", "2 tasks".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
)

func newEvents(a *app) *cobra.Command {
	w := &wantedEvents{}
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow what is asked, decided, started and ended",
		Long: `Follow what is asked, decided, started and ended, as the journal records it.

One line for each event that you may see, from now on, or from --from or --since
on; with --no-follow up to now. An auditor sees all. The connection is made again
when the server restarts, and no event is lost or shown twice. --json prints the
journal's records.`,
		Example: `  deputy events
  deputy events --since 1h --no-follow --type denied
  deputy events -n 1 --type ended --json`,
		Annotations: map[string]string{exitStatus: `0    -n events were shown, or with --no-follow all
1    refused or failed; stderr says why
2    the command line is wrong
130  ended by Ctrl-C`},
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := positive(cmd, "count", w.count); err != nil {
				return err
			}
			return eventsVerb(cmd.Context(), a, w)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&w.from, "from", 0, "begin at this sequence `NUMBER` of the journal")
	f.StringVar(&w.since, "since", "", "begin at this `TIME`: like 2h, or 2006-01-02T15:04:05Z")
	f.BoolVar(&w.noFollow, "no-follow", false, "end with what there is now")
	f.IntVarP(&w.count, "count", "n", 0, "end after `N` events")
	f.StringSliceVar(&w.types, "type", nil, "of this `TYPE` alone, like denied or ended (may be repeated)")
	return cmd
}

// wantedEvents is which events are shown.
type wantedEvents struct {
	from     uint64
	since    string
	noFollow bool
	count    int // 0: all
	types    []string
}

// query makes the daemon's question of it.
func (w *wantedEvents) query(a *app) (q client.EventQuery, err error) {
	if w.from > 0 && w.since != "" {
		return q, usage("--from and --since each say where to begin: give one of them")
	}
	if q.NoFollow = w.noFollow; w.noFollow && w.since == "" {
		w.from = max(w.from, 1) // from the beginning
	}
	if w.from > 0 {
		after := w.from - 1
		q.After = &after
	}
	q.Since, err = a.instant(w.since)
	return q, err
}

// errEnough ends a stream of events that has given all that was wanted.
var errEnough = errors.New("enough")

func eventsVerb(ctx context.Context, a *app, w *wantedEvents) error {
	q, err := w.query(a)
	if err != nil {
		return err
	}
	c, seen := a.connect(), 0
	err = c.EventsOf(ctx, q, func(e client.Event) error {
		if len(w.types) > 0 && !slices.Contains(w.types, string(e.Type)) {
			return nil
		}
		if err := a.printEvent(e); err != nil {
			return err
		}
		if seen++; seen == w.count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (a *app) printEvent(e client.Event) error {
	if a.json {
		_, err := fmt.Fprintf(a.out, "%s\n", e.Raw)
		return err
	}
	_, err := fmt.Fprintln(a.out, printable(eventLine(&e.Event)))
	return err
}

// eventLine writes an event as the daemon's log does:
// "uid=33(panel) end_user=alice service/restart unit=nginx.service allowed by site.toml:7 task=…39e8184c".
func eventLine(e *deputy.Event) string {
	words := []string{e.Time.String(), fmt.Sprint(e.Seq)}
	if e.Type != deputy.Accepted && e.Type != deputy.Denied {
		words = append(words, string(e.Type))
	}
	add := func(format string, value any, present bool) {
		if present {
			words = append(words, fmt.Sprintf(format, value))
		}
	}
	add("%s", callerWords(e.Caller), e.Caller != "")
	add("end_user=%s", e.EndUser, e.EndUser != "")
	add("%s", e.Module+"/"+e.Action, e.Module != "")
	if e.Type == deputy.Accepted || e.Type == deputy.Denied {
		words = append(words, decision(e)...)
	}
	if e.Task != "" {
		words = append(words, "task=…"+short(e.Task))
	}
	add("attempt=%d", e.Attempt, e.Attempt > 1)
	add("pid=%d", e.PID, e.PID != 0)
	add("%s", e.State, e.State != "")
	add("%s", strings.ReplaceAll(exitWords(e.Exit), " ", "="), e.Exit != nil && e.Exit.Unknown == "")
	if e.Receipt != nil {
		words = append(words, "("+receiptWords(e.Receipt)+")")
	}
	add("%d left over", e.Left, e.Left > 0)
	add("%d more like it", e.Count, e.Count > 0)
	add("version=%s", e.Version, e.Version != "")
	add("policy=%.12s", e.Policy, e.Type == deputy.PolicyLoaded)
	add("from=%d", e.From, e.From > 0)
	add("to=%d", e.To, e.To > 0)
	for _, id := range e.IDs {
		if len(e.Tasks) > 0 { // they are named already: items that share tasks
			break
		}
		words = append(words, "task=…"+short(id))
	}
	line := strings.Join(words, " ")
	if e.Reason != "" {
		line += ": " + e.Reason
	}
	return line
}

// decision says what was asked, and by what it was allowed or refused.
func decision(e *deputy.Event) []string {
	var words []string
	if len(e.Tasks) == 1 && len(e.Tasks[0].Params) > 0 {
		words = append(words, paramWords(e.Tasks[0].Params))
	}
	if e.Type == deputy.Denied {
		return append(words, "denied")
	}
	words = append(words, "allowed by "+e.Rule)
	for _, t := range e.Tasks {
		word := "task=…" + short(t.ID)
		if t.Joined {
			word += "(joined)"
		}
		words = append(words, word)
	}
	return words
}

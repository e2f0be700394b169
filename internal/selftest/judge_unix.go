//go:build unix

package selftest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"deputy"
)

// judge holds what the callers were answered, what the tasks wrote and what the
// journal says against one another.
func judge(ctx context.Context, in *instance, l *load, kills []kill) ([]Line, error) {
	ends, lost, err := ends(ctx, in, l)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(in.path("starts"))
	if err != nil {
		return nil, fmt.Errorf("cannot read what the tasks wrote: %w", err)
	}
	starts := map[string]int{} // by "task attempt"
	for line := range strings.Lines(string(text)) {
		starts[strings.TrimSpace(line)]++
	}
	events, err := in.events()
	if err != nil {
		return nil, err
	}
	return []Line{
		verdict(1, lost, "%d requests accepted under %d kills (%s), none lost", len(l.accepted), len(kills), slowest(kills)),
		twice(starts),
		exact(l, ends, events),
		recorded(starts, events),
	}, nil
}

// ends gives how each accepted request's task ended, and which are not known.
func ends(ctx context.Context, in *instance, l *load) (ends map[string]*deputy.Task, lost []string, err error) {
	ends = map[string]*deputy.Task{}
	for _, a := range l.accepted {
		t, err := in.c.Wait(ctx, a.id)
		switch {
		case ctx.Err() != nil:
			return nil, nil, fmt.Errorf("task %s does not end: %w", a.id, ctx.Err())
		case err != nil:
			lost = append(lost, fmt.Sprintf("task %s was accepted, and is not known: %v", a.id, err))
		default:
			ends[a.id] = t
		}
	}
	return ends, lost, nil
}

// slowest says of each part how long nothing was accepted at most.
func slowest(kills []kill) string {
	most := map[part]time.Duration{}
	for _, k := range kills {
		most[k.part] = max(most[k.part], k.took)
	}
	var words []string
	for _, p := range []part{server, monitor, keeper} {
		words = append(words, fmt.Sprintf("%s back within %d ms", p, most[p].Milliseconds()))
	}
	return strings.Join(words, ", ")
}

func twice(starts map[string]int) Line {
	var wrong []string
	for start, n := range starts {
		if n > 1 {
			wrong = append(wrong, fmt.Sprintf("task %s was started %d times", start, n))
		}
	}
	slices.Sort(wrong)
	return verdict(2, wrong, "%d starts, each once", len(starts))
}

// exact wants one end of each task, and the exit code that it was told to end
// with, or none with the cause.
func exact(l *load, ends map[string]*deputy.Task, events []deputy.Event) Line {
	var wrong []string
	recorded := map[string]int{}
	for _, e := range events {
		if e.Type == deputy.Ended {
			recorded[e.Task]++
		}
	}
	known, unknown := 0, 0
	for _, a := range l.accepted {
		t := ends[a.id]
		switch {
		case t == nil:
			continue // lost: promise 1
		case recorded[a.id] != 1:
			wrong = append(wrong, fmt.Sprintf("task %s has %d ends in the journal", a.id, recorded[a.id]))
		case t.Exit != nil && t.Exit.Code != nil && *t.Exit.Code == a.code:
			known++
		case t.State == deputy.Unknown && t.Exit != nil && t.Exit.Unknown != "":
			unknown++
		default:
			wrong = append(wrong, fmt.Sprintf("task %s was to exit with %d, and is said to be %s", a.id, a.code, t.State))
		}
	}
	return verdict(3, wrong, "%d exit codes exact, %d unknown (with the cause: the keeper was killed, too)", known, unknown)
}

// recorded wants of each start a record of who asked, what, by which rule, that
// is older than the record of the birth.
func recorded(starts map[string]int, events []deputy.Event) Line {
	accepted := map[string]deputy.Event{}
	born := map[string]uint64{}
	for _, e := range events {
		switch e.Type {
		case deputy.Accepted:
			for _, t := range e.Tasks {
				if !t.Joined {
					accepted[t.ID] = e
				}
			}
		case deputy.Started:
			born[e.Task] = e.Seq
		}
	}
	var wrong []string
	for start := range starts {
		id, _, _ := strings.Cut(start, " ")
		e, found := accepted[id]
		switch {
		case !found:
			wrong = append(wrong, "task "+id+" ran, and no record says who asked")
		case e.Caller == "" || e.Rule == "" || e.Policy == "":
			wrong = append(wrong, "the record of task "+id+" lacks who asked, or by which rule")
		case born[id] != 0 && born[id] < e.Seq:
			wrong = append(wrong, "task "+id+" was born before it was recorded")
		}
	}
	slices.Sort(wrong)
	return verdict(7, wrong, "%d starts, each with its record of caller, values and rule", len(starts))
}

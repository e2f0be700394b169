package asker

import (
	"context"

	"deputy"
	"deputy/internal/wall"
)

// Waits has each task that waits say what for, as the monitor knows it now. Where the
// monitor cannot be asked they say nothing. The task that one waits for is named to who
// may see that one.
func (a *Asker) Waits(ctx context.Context, tasks []Shown) {
	var ids []string
	for _, t := range tasks {
		if t.Sight == Whole && t.Waits {
			ids = append(ids, t.ID)
		}
	}
	waits := map[string]*deputy.Waiting{}
	for len(ids) > 0 {
		some := ids[:min(len(ids), wall.MaxWaits)]
		ids = ids[len(some):]
		outcome, err := a.session.of.monitor.Do(ctx, wall.Request{Kind: wall.Waits, Tasks: some})
		if err != nil {
			return
		}
		for id, w := range outcome.Waits {
			waits[id] = w
		}
	}
	seen := map[string]bool{}
	for _, t := range tasks {
		w := waits[t.ID]
		if w == nil || t.Sight != Whole || !t.Waits {
			continue
		}
		if w.Task != nil && !a.sees(ctx, *w.Task, seen) {
			hidden := *w
			hidden.Task = nil
			w = &hidden
		}
		t.Waiting = w
	}
}

// sees says whether the asker may see a task, if only its outline.
func (a *Asker) sees(ctx context.Context, id string, known map[string]bool) bool {
	seen, asked := known[id]
	if !asked {
		_, err := a.Find(ctx, id, false)
		seen = err == nil
		known[id] = seen
	}
	return seen
}

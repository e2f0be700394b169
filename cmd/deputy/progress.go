package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"deputy"
	"deputy/client"
)

// progressEvery is how often a task's progress is asked for.
const progressEvery = 500 * time.Millisecond

// showProgress draws the progress of tasks on a terminal until the function
// that it gives is called.
func (s *screen) showProgress(ctx context.Context, c *client.Client, ids []string) (stop func()) {
	if !s.a.errTerm || s.a.json {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.setBar(s.progressOf(ctx, c, ids))
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
		s.setBar("")
	}
}

// progressOf gives the line for these tasks: one's own bar, or how many have
// ended. It is "" where nothing was told.
func (s *screen) progressOf(ctx context.Context, c *client.Client, ids []string) string {
	over := 0
	for _, id := range ids {
		t, err := c.Task(ctx, id, 0)
		if err != nil {
			return ""
		}
		if len(ids) == 1 {
			return s.progressBar(t.Progress)
		}
		if t.Ended != nil {
			over++
		}
	}
	return fmt.Sprintf("%d of %d ended", over, len(ids))
}

// barWidth is the length of a whole bar in characters.
const barWidth = 24

// progressBar draws "[#####-------] 42% counting", cut to the terminal.
func (s *screen) progressBar(p *deputy.Progress) string {
	if p == nil {
		return ""
	}
	text := progressWords(p)
	if p.Percent != nil {
		full := int(max(0, min(*p.Percent, 100)) / 100 * barWidth)
		text = "[" + strings.Repeat("#", full) + strings.Repeat("-", barWidth-full) + "] " + text
	}
	return cut(text, max(s.a.columns()-1, 8))
}

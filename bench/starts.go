//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	startRounds = 3
	startRound  = 1500 * time.Millisecond // of each figure in each round
)

// request of one task that only exits, to be answered when it has ended.
var exitAndWait = post("/v1/actions/b/exit?wait=30", "")

// measureStarts takes turns between the bare loop and deputy.
func measureStarts(ctx context.Context, b *bench) (rows []row, err error) {
	d, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	bare, callers := []int{1, 2}, []int{1, 16, 32}
	bares, rates := make([][]float64, len(bare)), make([][]float64, len(callers))
	latencies := make([][]time.Duration, len(callers))
	counts, splits := make([]int, len(callers)), make([]usage, len(callers))
	for range startRounds {
		for i, n := range bare {
			rate, err := b.bareStarts(ctx, n, startRound)
			if err != nil {
				return nil, err
			}
			bares[i] = append(bares[i], rate)
		}
		for i, n := range callers {
			before := d.usage()
			l, err := closedLoop(ctx, d.socket, n, startRound, 0, exitAndWait, expectEnded)
			if err != nil {
				return nil, err
			}
			splits[i] = splits[i].plus(d.usage().minus(before))
			counts[i] += l.count
			rates[i] = append(rates[i], l.rate())
			latencies[i] = append(latencies[i], l.each...)
		}
	}
	accepted, err := acceptedPerSecond(ctx, d)
	if err != nil {
		return nil, err
	}
	limit := b.limitOfStarts()
	for i, n := range bare {
		rows = append(rows, perSecond(fmt.Sprintf("limit: %s, %d at once", limit, n), median(bares[i])))
	}
	for i, n := range callers {
		r := perSecond(fmt.Sprintf("deputy, callers: %d", n), median(rates[i])).
			of(median(ratios(rates[i], bares[1])), "the limit with 2").
			note("p50 %s µs", number(median(latencies[i]).Seconds()*1e6))
		if n == 32 {
			r = r.ratioAtLeast(0.35)
		}
		rows = append(rows, r)
	}
	rows = append(rows, perSecond("accepted alone, callers: 16", accepted).note("started behind the answer"))
	for i, n := range callers {
		rows = append(rows, splits[i].row(fmt.Sprintf("CPU of a task, callers: %d", n), counts[i]))
	}
	return rows, nil
}

// acceptedPerSecond asks without waiting for the tasks, whose starts lag behind
// after a while.
func acceptedPerSecond(ctx context.Context, d *daemon) (float64, error) {
	l, err := closedLoop(ctx, d.socket, 16, startRound, 0, post("/v1/actions/b/exit", ""), expectStatus(http.StatusAccepted))
	if err != nil {
		return 0, err
	}
	return l.rate(), d.idle(ctx)
}

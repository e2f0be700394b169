//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	historyTasks = 20_000
	historyFill  = time.Minute // at most, to make them
)

func measureHistory(ctx context.Context, b *bench) (rows []row, err error) {
	d, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	l, err := closedLoop(ctx, d.socket, 32, historyFill, historyTasks, exitAndWait, expectEnded)
	if err != nil {
		return nil, err
	}
	if l.count < historyTasks {
		rows = append(rows, row{Name: "tasks made in the time there was", Value: float64(l.count)})
	}
	pages, err := d.pages(ctx)
	if err != nil {
		return rows, err
	}
	health, err := closedLoop(ctx, d.socket, 1, time.Minute, len(pages), get("/healthz"), expectStatus(http.StatusOK))
	if err != nil {
		return rows, err
	}
	rows = append(rows,
		milliseconds("limit: GET /healthz, p99", quantile(health.each, 0.99)),
		milliseconds("a page of 100 tasks, p50", median(pages)),
		milliseconds("a page of 100 tasks, p99", quantile(pages, 0.99)).atMost(20))
	if _, err := d.stop(); err != nil {
		return rows, err
	}
	verified, err := b.verify(ctx, d)
	rows = append(rows, verified...)
	if err != nil {
		return rows, err
	}
	begun := time.Now()
	if err := d.launch(ctx, b); err != nil {
		return rows, err
	}
	return append(rows, milliseconds("start-up until the first answer", time.Since(begun)).atMost(1000)), nil
}

// pages asks for every page of the list, one after another.
func (d *daemon) pages(ctx context.Context) ([]time.Duration, error) {
	c, err := dial(ctx, d.socket)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var each []time.Duration
	seen, cursor := map[string]bool{}, ""
	for ctx.Err() == nil {
		begun := time.Now()
		status, body, err := c.ask(get("/v1/tasks?limit=100" + cursor))
		each = append(each, time.Since(begun))
		if err != nil {
			return nil, err
		}
		var page struct {
			Tasks []struct{ ID string }
			Next  *string
		}
		if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("a page was answered with %d: %.300s", status, body)
		}
		for _, t := range page.Tasks {
			seen[t.ID] = true
		}
		if page.Next == nil {
			break
		}
		cursor = "&cursor=" + *page.Next
	}
	if len(seen) < 100*(len(each)-1) {
		return nil, fmt.Errorf("%d pages held only %d tasks", len(each), len(seen))
	}
	return each, ctx.Err()
}

// verify runs `deputy audit verify` over the journal, and beside it SHA-256 over
// as many bytes.
func (b *bench) verify(ctx context.Context, d *daemon) ([]row, error) {
	dir := filepath.Join(d.state, "journal")
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	records, hashing := 0, time.Duration(0)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, c := range text {
			if c == '\n' {
				records++
			}
		}
		begun := time.Now()
		sha256.Sum256(text)
		hashing += time.Since(begun)
	}
	begun := time.Now()
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "deputy"), "audit", "verify", "--journal", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("deputy audit verify: %w\n%s", err, out)
	}
	took := time.Since(begun)
	rate := float64(records) / took.Seconds()
	limit := float64(records) / hashing.Seconds()
	return []row{
		perSecond("limit: SHA-256 over the journal, in records", limit),
		// A million records in at most three seconds.
		perSecond("deputy audit verify, in records", rate).of(rate/limit, "the limit").atLeast(1e6 / 3),
	}, nil
}

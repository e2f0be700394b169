//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	acceptWarm   = 50 // requests before those that count
	acceptAlone  = 1000
	acceptBehind = 2000
)

// measureAccept measures answers both alone, each behind a sync of a file and
// once the task before has ended, and one right behind the other, while the
// tasks of those before are being started.
func measureAccept(ctx context.Context, b *bench) (rows []row, err error) {
	d, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	file, err := os.OpenFile(filepath.Join(b.disk, "sync"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	c, err := dial(ctx, d.socket)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var syncs, alone, behind []time.Duration
	for i := range acceptWarm + acceptAlone {
		s, err := syncAppend(file)
		if err != nil {
			return nil, err
		}
		a, err := oneAlone(c)
		if err != nil {
			return nil, err
		}
		if i >= acceptWarm {
			syncs, alone = append(syncs, s), append(alone, a)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	l, err := closedLoop(ctx, d.socket, 1, time.Minute, acceptBehind, post("/v1/actions/b/exit", ""), expectStatus(http.StatusAccepted))
	if err != nil {
		return nil, err
	}
	behind = l.each
	p50 := median(syncs)
	ratio := func(d time.Duration) float64 { return float64(d) / float64(p50) }
	return []row{
		microseconds("limit: fdatasync of a 512-byte append, p50", p50),
		microseconds("limit: the same, p99", quantile(syncs, 0.99)),
		microseconds("answer, p50", median(alone)).of(ratio(median(alone)), "the limit").ratioAtMost(2),
		microseconds("answer, p99", quantile(alone, 0.99)),
		microseconds("answer while others are started, p50", median(behind)).of(ratio(median(behind)), "the limit"),
		microseconds("answer while others are started, p99", quantile(behind, 0.99)),
	}, d.idle(ctx)
}

// syncAppend appends to a file as the journal does.
func syncAppend(f *os.File) (time.Duration, error) {
	block := make([]byte, 512)
	begun := time.Now()
	if _, err := f.Write(block); err != nil {
		return 0, err
	}
	err := unix.Fdatasync(int(f.Fd()))
	return time.Since(begun), err
}

// oneAlone measures one answer, and lets the task end.
func oneAlone(c *caller) (time.Duration, error) {
	begun := time.Now()
	status, body, err := c.ask(post("/v1/actions/b/exit", ""))
	took := time.Since(begun)
	if err == nil {
		err = expectStatus(http.StatusAccepted)(status, body)
	}
	if err != nil {
		return 0, err
	}
	var made struct{ Tasks []struct{ ID string } }
	if err := json.Unmarshal(body, &made); err != nil {
		return 0, err
	}
	return took, c.expect(get("/v1/tasks/"+made.Tasks[0].ID+"?wait=30"), nil, http.StatusOK)
}

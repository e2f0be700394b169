//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	joinCallers = 64
	joinRounds  = 5
	joinRound   = time.Second // of each figure in each round
)

// measureJoin takes turns between a plain net/http server in a process of its
// own and deputy.
func measureJoin(ctx context.Context, b *bench) (rows []row, err error) {
	d, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	plain := filepath.Join(d.state, "plain.sock")
	server := exec.Command(b.program(self), "@http", plain)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return nil, err
	}
	defer server.Wait()
	defer server.Process.Kill()
	if err := connectable(ctx, plain); err != nil {
		return nil, err
	}
	var plains, joins []float64
	var used usage
	count := 0
	hold := post("/v1/actions/b/hold", "")
	for range joinRounds {
		l, err := closedLoop(ctx, plain, joinCallers, joinRound, 0, hold, expectStatus(http.StatusOK))
		if err != nil {
			return nil, err
		}
		plains = append(plains, l.rate())
		before := d.usage()
		if l, err = closedLoop(ctx, d.socket, joinCallers, joinRound, 0, hold, expectStatus(http.StatusAccepted)); err != nil {
			return nil, err
		}
		used = used.plus(d.usage().minus(before))
		joins = append(joins, l.rate())
		count += l.count
	}
	return []row{
		perSecond("limit: plain net/http that answers a constant", median(plains)),
		perSecond("deputy", median(joins)).of(median(ratios(joins, plains)), "the limit").ratioAtLeast(0.25),
		used.row("CPU of a request", count),
	}, nil
}

// connectable waits until something listens.
func connectable(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		c, err := dial(ctx, socket)
		if err == nil {
			c.close()
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Millisecond):
		}
	}
}

// servePlain is the limit of any HTTP server in Go: it does nothing.
func servePlain(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("{}\n")) // an error means that the client has gone
	}))
}

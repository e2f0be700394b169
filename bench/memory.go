//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	liveTasks = 10_000
	settled   = 2 * time.Second // after which an idle process is idle
)

func measureMemory(ctx context.Context, b *bench) (rows []row, err error) {
	d, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := pause(ctx, settled); err != nil {
		return nil, err
	}
	idle, err := d.memory("idle")
	if err != nil {
		return nil, err
	}
	rows = append(rows, idle.atMost(30))
	begun := time.Now()
	l, err := closedLoop(ctx, d.socket, 16, time.Minute, liveTasks, post("/v1/actions/b/pause", ""), expectStatus(http.StatusAccepted))
	if err != nil {
		return rows, err
	}
	if err := d.started(ctx); err != nil {
		return rows, err
	}
	took := time.Since(begun)
	live, err := d.memory(fmt.Sprintf("with %s live tasks", number(liveTasks)))
	if err != nil {
		return rows, err
	}
	if n := running(b.program(childPause)); n != liveTasks || l.count != liveTasks {
		return rows, fmt.Errorf("%d tasks were accepted and %d processes live, not %d", l.count, n, liveTasks)
	}
	if err := pause(ctx, settled); err != nil {
		return rows, err
	}
	later, err := d.memory("the same, settled")
	if err != nil {
		return rows, err
	}
	rows = append(rows, live.atMost(256), later.atMost(256),
		perSecond("accepted and started until they all lived", liveTasks/took.Seconds()))
	ended, err := d.stop()
	if err != nil {
		return rows, err
	}
	left := running(b.program(childPause))
	return append(rows, milliseconds("end of deputy up, which stops them all", ended),
		row{Name: "processes left", Value: float64(left)}.atMost(0)), nil
}

// started waits until no task is queued.
func (d *daemon) started(ctx context.Context) error {
	c, err := dial(ctx, d.socket)
	if err != nil {
		return err
	}
	defer c.close()
	for {
		var page struct{ Tasks []json.RawMessage }
		if err := c.expect(get("/v1/tasks?state=queued&limit=1"), &page, http.StatusOK); err != nil {
			return err
		}
		if len(page.Tasks) == 0 {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// memory sums up the PSS of the three processes.
func (d *daemon) memory(name string) (row, error) {
	var all [3]int64
	for i, pid := range []int{d.keeper.Process.Pid, d.monitor, d.server} {
		n, err := pssOf(pid)
		if err != nil {
			return row{}, err
		}
		all[i] = n
	}
	mib := func(i int) string { return number(float64(all[i]) / (1 << 20)) }
	return mebibytes(name, all[0]+all[1]+all[2]).note("keeper %s, monitor %s, server %s", mib(0), mib(1), mib(2)), nil
}

// pssOf reads a process's proportional set size in bytes: what it shares counts
// in part (proc_pid_smaps_rollup).
func pssOf(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("cannot find the PSS of process %d", pid)
}

// pause lets d pass.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

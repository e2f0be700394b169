//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"syscall"
	"time"
)

const (
	stopTrees = 50
	bareTrees = 15 // killed bare, in turns with the others
)

// receipt is what the answer of a stop tells.
type receipt struct {
	Killed int
	TookMS int64 `json:"took_ms"`
	Empty  bool
}

func measureStop(ctx context.Context, b *bench) (rows []row, err error) {
	d, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	c, err := dial(ctx, d.socket)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var bare, took, answered []time.Duration
	fewest, survivors := treeSize+1, 0
	for i := range stopTrees {
		if b.cgroup != "" && i%(stopTrees/bareTrees) == 0 {
			t, err := b.bareKill()
			if err != nil {
				return nil, err
			}
			bare = append(bare, t)
		}
		r, t, err := stopTree(c)
		if err != nil {
			return nil, err
		}
		took, answered = append(took, time.Duration(r.TookMS)*time.Millisecond), append(answered, t)
		fewest = min(fewest, r.Killed)
		if survivors += running(b.program(childTree)); !r.Empty {
			survivors++
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	last := milliseconds("deputy: from the order to the last end, p99", quantile(took, 0.99)).atMost(100)
	if len(bare) > 0 {
		rows = append(rows, milliseconds("limit: cgroup.kill until nothing lives, p50", median(bare)))
		last = last.of(float64(quantile(took, 0.99))/float64(median(bare)), "the limit")
	}
	return append(rows,
		milliseconds("deputy: from the order to the last end, p50", median(took)).note("took_ms of the receipt, %d trees", stopTrees), last,
		milliseconds("deputy: from the request to the answer, p50", median(answered)),
		milliseconds("deputy: from the request to the answer, p99", quantile(answered, 0.99)),
		row{Name: "processes killed, the fewest of any tree", Value: float64(fewest)},
		row{Name: "survivors", Value: float64(survivors)}.atMost(0),
	), nil
}

// stopTree starts a tree, waits until it is whole, and stops it.
func stopTree(c *caller) (r receipt, took time.Duration, err error) {
	var made struct{ Tasks []struct{ ID string } }
	if err := c.expect(post("/v1/actions/b/tree", ""), &made, http.StatusAccepted); err != nil {
		return r, 0, err
	}
	task := "/v1/tasks/" + made.Tasks[0].ID
	if err := c.awaitByte(task); err != nil {
		return r, 0, err
	}
	begun := time.Now()
	status, body, err := c.ask(post(task+"/stop", `{"grace":"0s"}`))
	took = time.Since(begun)
	if err != nil {
		return r, 0, err
	}
	var stopped struct {
		State string
		Stop  receipt
	}
	if status != http.StatusOK || json.Unmarshal(body, &stopped) != nil {
		return r, 0, fmt.Errorf("a stop was answered with %d: %.300s", status, body)
	}
	return stopped.Stop, took, nil
}

// awaitByte waits until a task has written to its stdout.
func (c *caller) awaitByte(task string) error {
	for end := time.Now().Add(answerTime); time.Now().Before(end); {
		status, body, err := c.ask(get(task + "/stdout?offset=0&wait=10"))
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("stdout of a task was answered with %d: %.300s", status, body)
		}
		if len(body) > 0 {
			return nil
		}
	}
	return errors.New("a task wrote nothing")
}

// bareKill makes the same tree in a cgroup of ours and kills it.
func (b *bench) bareKill() (time.Duration, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	pid, leaf, err := b.bareStart(childTree, w)
	w.Close()
	if err != nil {
		return 0, err
	}
	if _, err := r.Read(make([]byte, 1)); err != nil {
		return 0, fmt.Errorf("a tree did not become whole: %w", err)
	}
	begun := time.Now()
	if err := os.WriteFile(leaf+"/cgroup.kill", []byte("1"), 0); err != nil {
		return 0, err
	}
	for populated(leaf) {
		time.Sleep(100 * time.Microsecond)
	}
	took := time.Since(begun)
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		return 0, err
	}
	return took, removeCgroup(leaf)
}

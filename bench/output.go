//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const outputPairs = 7

// holesCap is the cap of the action "holes", in bytes.
const holesCap = 16 << 20

// measureOutput has a program write to a plain file and as a task, in turns.
// The program itself takes the time of its writes.
func measureOutput(ctx context.Context, b *bench) (rows []row, err error) {
	d, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	for _, m := range []struct {
		what, action string
		block, bytes int
		least        float64
	}{
		{"64 KiB blocks, below the cap", "whole", 64 << 10, 1 << 30, 0.98},
		{"100-byte lines, below the cap", "whole", 100, 128 << 20, 0.98},
		{"64 KiB blocks, holes punched", "holes", 64 << 10, 1 << 30, 0.90},
		{"100-byte lines, holes punched", "holes", 100, 128 << 20, 0.90},
	} {
		var plain, task, pairs []float64
		over := int64(0) // most bytes on the disk beyond the cap
		for range outputPairs {
			p, err := b.writePlain(ctx, m.block, m.bytes)
			if err != nil {
				return rows, err
			}
			t, left, err := d.writeTask(ctx, m.action, m.block, m.bytes)
			if err != nil {
				return rows, err
			}
			plain, task, pairs = append(plain, p), append(task, t), append(pairs, t/p)
			over = max(over, left-holesCap)
		}
		rows = append(rows,
			row{Name: "limit: plain file, " + m.what, Value: median(plain), Unit: "MB/s"},
			row{Name: "deputy: " + m.what, Value: median(task), Unit: "MB/s"}.of(median(pairs), "the limit").ratioAtLeast(m.least))
		if m.action == "holes" {
			rows = append(rows, mebibytes("  on the disk beyond the cap at the end", max(0, over)).atMost(4))
		}
	}
	return rows, nil
}

// writePlain has the writer write to a file, and gives its MB/s.
func (b *bench) writePlain(ctx context.Context, block, bytes int) (float64, error) {
	path := filepath.Join(b.disk, "plain")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer os.Remove(path)
	defer f.Close()
	cmd := exec.CommandContext(ctx, b.program(self), "@write", strconv.Itoa(block), strconv.Itoa(bytes))
	cmd.Stdout = f
	var told strings.Builder
	cmd.Stderr = &told
	if err := cmd.Run(); err != nil {
		return 0, err
	}
	return megabytesPerSecond(bytes, told.String())
}

// writeTask has the same writer run as a task, and gives its MB/s and what its
// stdout takes on the disk at its end.
func (d *daemon) writeTask(ctx context.Context, action string, block, bytes int) (rate float64, left int64, err error) {
	c, err := dial(ctx, d.socket)
	if err != nil {
		return 0, 0, err
	}
	defer c.close()
	var made struct {
		Tasks []struct{ ID, State string }
	}
	body := fmt.Sprintf(`{"block":%d,"bytes":%d}`, block, bytes)
	if err := c.expect(post("/v1/actions/b/"+action+"?wait=50", body), &made, http.StatusOK); err != nil {
		return 0, 0, err
	}
	task := made.Tasks[0]
	if task.State != "succeeded" {
		return 0, 0, fmt.Errorf("the task that writes is %s", task.State)
	}
	status, told, err := c.ask(get("/v1/tasks/" + task.ID + "/stderr"))
	if err != nil || status != http.StatusOK {
		return 0, 0, fmt.Errorf("cannot read a task's stderr: status %d, %w", status, err)
	}
	var st unix.Stat_t
	dir := filepath.Join(d.state, "tasks", task.ID)
	if err := unix.Stat(filepath.Join(dir, "stdout"), &st); err != nil {
		return 0, 0, err
	}
	if rate, err = megabytesPerSecond(bytes, string(told)); err != nil {
		return 0, 0, err
	}
	// The blocks are given back: otherwise the disk's own writing disturbs what follows.
	return rate, st.Blocks * 512, os.Truncate(filepath.Join(dir, "stdout"), 0)
}

func megabytesPerSecond(bytes int, told string) (float64, error) {
	ns, err := strconv.ParseInt(strings.TrimSpace(told), 10, 64)
	if err != nil || ns <= 0 {
		return 0, fmt.Errorf("the program that writes said %q, not how long it took", told)
	}
	return float64(bytes) / 1e6 / time.Duration(ns).Seconds(), nil
}

// write is the program that writes: blocks of one size to stdout, and on stderr
// how many ns that took. The blocks end with a newline.
func write(block, bytes int) error {
	b := []byte(strings.Repeat("x", block-1) + "\n")
	begun := time.Now()
	for left := bytes; left > 0; left -= block {
		if _, err := os.Stdout.Write(b[:min(left, block)]); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(os.Stderr, time.Since(begun).Nanoseconds())
	return err
}

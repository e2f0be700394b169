//go:build unix

package selftest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"deputy"
	"deputy/client"
)

// treeSize is how many processes the tree has that is stopped.
const treeSize = 300

// goneTime is how long after the receipt the pipe may still be held: none of
// the tree should be there to hold it.
const goneTime = time.Second

// tree stops a tree of orphans that ignore the stop signal. All of them hold the
// writing end of a pipe: the kernel itself says when none is left.
func tree(ctx context.Context, in *instance) (Line, error) {
	if err := syscall.Mkfifo(in.path("alive"), 0o600); err != nil {
		return Line{}, fmt.Errorf("cannot make a pipe: %w", err)
	}
	pipe, err := os.OpenFile(in.path("alive"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Line{}, err
	}
	defer pipe.Close()
	id, err := ask(ctx, in.c, "tree", map[string]any{"count": treeSize}, "tree")
	if err != nil {
		return Line{}, err
	}
	// Without a writer yet a read gives the end at once: until the tree stands.
	text := bufio.NewReader(pipe)
	for {
		line, err := text.ReadString('\n')
		if line == "ready\n" {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return Line{}, err
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return Line{}, err
		}
	}
	began := time.Now()
	t, err := in.c.Stop(ctx, id, client.StopOptions{})
	if err != nil {
		return Line{}, err
	}
	took := time.Since(began)
	var wrong []string
	if t.Stop == nil || !t.Stop.Empty {
		wrong = append(wrong, "the receipt of the stop does not say that nothing lives")
	}
	if err := pipe.SetReadDeadline(time.Now().Add(goneTime)); err != nil {
		return Line{}, err
	}
	if _, err := text.ReadString('\n'); !errors.Is(err, io.EOF) {
		wrong = append(wrong, fmt.Sprintf("after the receipt something of the tree still lived: %v", err))
	}
	if wrong != nil {
		return verdict(4, wrong, ""), nil
	}
	return verdict(4, nil, "a tree of %d processes: %d killed, gone %d ms after the order (proof: %s)", treeSize, t.Stop.Killed, took.Milliseconds(), t.Stop.Proof), nil
}

// floodLines of ten bytes are written under a cap of 1 MiB; slack is what may be
// kept beyond it.
const (
	floodLines = 2_000_000
	floodCap   = 1 << 20
	slack      = 4 << 20
)

// flood writes far more than is kept, and compares each byte that is.
func flood(ctx context.Context, in *instance) (Line, error) {
	began := time.Now()
	id, err := ask(ctx, in.c, "flood", map[string]any{"lines": floodLines}, "flood")
	if err != nil {
		return Line{}, err
	}
	t, err := in.c.Wait(ctx, id)
	if err != nil {
		return Line{}, err
	}
	took := time.Since(began)
	var wrong []string
	if t.State != deputy.Succeeded {
		wrong = append(wrong, "the task that wrote it is "+string(t.State)+"; its stderr may say why")
	}
	c := &comparison{}
	if _, err := in.c.Read(ctx, id, client.Stdout, 0, c); err != nil {
		return Line{}, err
	}
	switch {
	case c.wrong != "":
		wrong = append(wrong, c.wrong)
	case c.at != floodLines*10:
		wrong = append(wrong, fmt.Sprintf("it wrote %d bytes, and %d are told of", floodLines*10, c.at))
	case c.kept > floodCap+slack:
		wrong = append(wrong, fmt.Sprintf("%d bytes are kept, with a cap of %d: can the disk punch holes? see deputy doctor", c.kept, floodCap))
	}
	return verdict(6, wrong, "%d MB written in %d ms, %d KiB kept, every byte in its place", floodLines*10/1_000_000, took.Milliseconds(), c.kept>>10), nil
}

// comparison holds output against what was written: line N is N, in nine digits.
type comparison struct {
	at, kept int64
	wrong    string
}

func (c *comparison) Write(p []byte) (int, error) {
	whole := len(p)
	for first := c.at; len(p) > 0 && c.wrong == ""; first = c.at {
		line := fmt.Sprintf("%09d\n", first/10+1)[first%10:]
		n := min(len(line), len(p))
		if string(p[:n]) != line[:n] {
			c.wrong = fmt.Sprintf("at byte %d stands %q, and %q was written", first, p[:n], line[:n])
		}
		c.at, c.kept, p = c.at+int64(n), c.kept+int64(n), p[n:]
	}
	return whole, nil
}

// Gap passes over what the cap took.
func (c *comparison) Gap(_, to int64) error {
	c.at = to
	return nil
}

// Rewritten is wrong: the task only appends.
func (c *comparison) Rewritten(int64) error {
	c.wrong = "the output is said to have been rewritten"
	return nil
}

// lockCallers ask for the same lock at once.
const lockCallers = 50

// locks has many ask for one lock together, and then once more with the key of
// one of them.
func locks(ctx context.Context, in *instance) (Line, error) {
	ids, errs := make([]string, lockCallers), make([]error, lockCallers)
	values := map[string]any{"name": "one"}
	var all sync.WaitGroup
	for i := range lockCallers {
		all.Go(func() { ids[i], errs[i] = ask(ctx, in.c, "alone", values, fmt.Sprintf("lock-%d", i)) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return Line{}, err
	}
	var wrong []string
	for _, id := range ids {
		if id != ids[0] {
			wrong = append(wrong, "two tasks lived for one lock: "+ids[0]+" and "+id)
		}
	}
	if _, err := in.c.Wait(ctx, ids[0]); err != nil {
		return Line{}, err
	}
	again, err := ask(ctx, in.c, "alone", values, "lock-0")
	if err != nil {
		return Line{}, err
	}
	if again != ids[0] {
		wrong = append(wrong, "the same key gave another task")
	}
	text, err := os.ReadFile(in.path("starts"))
	if err != nil {
		return Line{}, err
	}
	if n := strings.Count(string(text), ids[0]); n != 1 {
		wrong = append(wrong, fmt.Sprintf("the task of the lock was started %d times", n))
	}
	return verdict(5, wrong, "%d callers of one lock at once got one task, and so did a key asked with again", lockCallers), nil
}

//go:build unix

package selftest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"deputy"
	"deputy/client"
)

// callers is how many ask at the same time. Each waits for most of its tasks, so
// that the load is what the machine can bear.
const callers = 16

// asked is a request that was answered 2xx.
type asked struct {
	key  string
	code int // that its task was told to exit with
	id   string
}

// load is many callers that ask, and ask again when an answer is lost.
type load struct {
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu       sync.Mutex // guards what follows
	accepted []asked
	failed   error
}

func startLoad(ctx context.Context, in *instance) *load {
	l := &load{}
	enough, cancel := context.WithCancel(ctx)
	l.cancel = cancel
	for caller := range callers {
		l.all.Go(func() { l.call(ctx, enough, in.c, caller) })
	}
	return l
}

// call asks until it is enough; a request that was begun is asked to its answer.
func (l *load) call(ctx, enough context.Context, c *client.Client, caller int) {
	for n := 0; enough.Err() == nil; n++ {
		a := asked{key: fmt.Sprintf("%d-%d", caller, n), code: (caller*31 + n) % 7}
		lives := n%4 == 0 // while something is killed
		seconds := "0"
		if lives {
			seconds = "0.7"
		}
		id, err := ask(ctx, c, "run", params(a.code, seconds), a.key)
		l.mu.Lock()
		if err != nil && l.failed == nil {
			l.failed = fmt.Errorf("a request was not answered: %w", err)
		}
		if err == nil {
			a.id = id
			l.accepted = append(l.accepted, a)
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
		if !lives {
			_, _ = c.Wait(enough, id) // how it ended is looked at when all is over
		}
	}
}

func (l *load) stop() error {
	l.cancel()
	l.all.Wait()
	return l.failed
}

func params(code int, seconds string) map[string]any {
	return map[string]any{"code": code, "seconds": seconds}
}

// ask asks for an action that makes one task, with a key: what is not known to
// be accepted is asked for again, and what is refused for now, later.
func ask(ctx context.Context, c *client.Client, action string, params map[string]any, key string) (id string, err error) {
	for {
		tasks, err := c.Call(ctx, "selftest", action, params, client.Options{IdempotencyKey: key})
		if err == nil && len(tasks) != 1 {
			return "", fmt.Errorf("a request gave %d tasks", len(tasks))
		}
		if err == nil {
			return tasks[0].ID, nil
		}
		var refused *client.Error
		if !errors.As(err, &refused) {
			return "", err
		}
		switch refused.Refusal.Code {
		case deputy.OutcomeUnknown, deputy.RateLimited, deputy.NotDurable:
			if err := wait(ctx, 50*time.Millisecond); err != nil {
				return "", err
			}
		default:
			return "", err
		}
	}
}

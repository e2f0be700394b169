package manifest

import "time"

// A debounced action has a lock: whoever asks for the same while its task waits joins
// that task, and so makes it wait on.

// maxDebounce is the longest that a task may be made to wait for being asked for again.
const maxDebounce = time.Hour

// debounce reads debounce = { quiet = "5s", max = "1m" }.
func (l *loader) debounce(d *draft) func(*node) {
	return func(n *node) {
		b := &Debounce{}
		if !l.table(n, "debounce", fields{"quiet": into(l, &b.Quiet, period), "max": into(l, &b.Max, period)}) {
			return
		}
		switch {
		case n.get("quiet") == nil || n.get("max") == nil:
			l.failKey(n, `write debounce = { quiet = "5s", max = "1m" }`, "debounce needs quiet and max")
		case b.Max > maxDebounce:
			l.fail(n.get("max"), `write "1h" or less`, "max is longer than an hour: a task would wait so long for being asked for again")
		case b.Quiet > b.Max:
			l.fail(n.get("quiet"), "make quiet shorter than max", "quiet is longer than max, which would always come first")
		}
		d.Debounce = b
	}
}

// finishDebounce checks what an action says beside its debounce.
func (l *loader) finishDebounce(d *draft, n *node) {
	if d.Stops != "" {
		d.Debounce = nil
	}
	if d.Debounce == nil {
		return
	}
	at := n.get("debounce")
	if at == nil {
		at = n
	}
	if d.Lock == nil {
		l.failKey(at, `write lock = "…", too`, "debounce without a lock: no request could join the task that waits")
	}
	if c := n.get("on_busy"); c != nil {
		l.failKey(c, "remove it, or debounce", "with debounce one task waits, and is joined: on_busy has nothing to say")
	}
}

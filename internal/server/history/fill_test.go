package history

import (
	"fmt"
	"testing"

	"deputy"
)

// fill applies n tasks that are accepted, started and ended, in flight together
// as with 32 callers.
func fill(b testing.TB, h *History, j *journal, n int) {
	apply := func(e deputy.Event) {
		line := j.add(e)
		j.text = j.text[:0]
		if err := h.Apply(j.seq, line); err != nil {
			b.Fatal(err)
		}
	}
	var flight []string
	for i := range n {
		id := j.id()
		e := j.accepted(id)
		e.Caller = deputy.Caller(fmt.Sprintf("uid:%d", 33+i%7))
		apply(e)
		apply(started(id))
		if flight = append(flight, id); len(flight) == 32 {
			state := deputy.Succeeded
			if i%50 == 0 {
				state = deputy.Failed
			}
			apply(ended(flight[0], state))
			flight = flight[1:]
		}
	}
	for _, id := range flight {
		apply(ended(id, deputy.Succeeded))
	}
}

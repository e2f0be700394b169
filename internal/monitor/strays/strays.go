// Package strays ends process trees that no record knows. All are killed before any is
// waited for: however many there are, it takes endWithin at most.
package strays

import (
	"log"
	"strings"
	"time"

	"deputy"
	"deputy/internal/monitor/process"
)

// endWithin bounds the wait for all that was killed.
const endWithin = 5 * time.Second

// Host is where they live: *process.Host.
type Host interface {
	Adopt(process.Attempt) error
	ending
}

type ending interface {
	Kill(leaf string) (killed int, err error)
	Survivors(leaf string) []deputy.Survivor
	Release(leaf string)
}

// End ends what runs in leaves, and says of each what it has ended.
func End(h Host, leaves []string, l *log.Logger) {
	for _, leaf := range leaves {
		if err := h.Adopt(process.Attempt{Leaf: leaf}); err != nil {
			l.Printf("%v", err)
		}
		killed, err := h.Kill(leaf)
		switch {
		case err != nil:
			l.Printf("cannot kill what runs in %s: %v", leaf, err)
		case killed > 0:
			task, _, _ := strings.Cut(leaf, ".")
			l.Printf("%d processes of task %s were ended: the restored journal does not know that it runs", killed, task)
		}
	}
	await(h, leaves, l)
	for _, leaf := range leaves {
		h.Release(leaf)
	}
}

// await waits until nothing lives in leaves whose processes were killed, or endWithin
// has passed. It looks, for the host's news comes through the loop, which does not run
// before the tasks are taken up.
func await(h Host, leaves []string, l *log.Logger) {
	late, look := time.NewTimer(endWithin), time.NewTicker(time.Millisecond)
	defer late.Stop()
	defer look.Stop()
	for _, leaf := range leaves {
		for alive := len(h.Survivors(leaf)); alive > 0; alive = len(h.Survivors(leaf)) {
			select {
			case <-look.C:
				continue
			case <-late.C:
				late.Reset(0) // it is late for those that follow, too
			}
			l.Printf("%d processes in %s still live %v after they were killed", alive, leaf, endWithin)
			break
		}
	}
}

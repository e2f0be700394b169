package tasks

import (
	"os"
	"strings"
	"time"

	"deputy/internal/monitor/process"
)

// A journal that was restored from a back-up is older than what happened. Of a
// task that lives in it nobody knows what became of it, so its end is unknown;
// and whatever of this installation still runs is ended, for nothing may live
// that the journal does not know. Signatures are good only from then on: see
// timely.

// endWithin bounds the wait for all that was killed because no record knows it.
const endWithin = 5 * time.Second

// endStrays ends what runs of tasks that the restored journal does not know, or
// whose end is unknown now. All are killed before any is waited for: however many
// there are, the monitor serves endWithin later at the latest.
func (r *Tasks) endStrays(leaves []string) {
	var strays []string
	for _, leaf := range leaves {
		id, _, _ := strings.Cut(leaf, ".")
		if t := r.State.Tasks[id]; t != nil && !t.Lost || !r.ours(leaf, id) {
			continue
		}
		strays = append(strays, leaf)
		if n := r.killStray(leaf); n > 0 {
			r.Log.Printf("%d processes of task %s were ended: the restored journal does not know that it runs", n, id)
		}
	}
	r.awaitEnd(strays)
	for _, leaf := range strays {
		r.Host.Release(leaf)
	}
}

// ours says whether a leaf is of this installation: another's may lie beside it.
func (r *Tasks) ours(leaf, id string) bool {
	if r.Host.Ours(leaf) {
		return true
	}
	_, err := os.Stat(r.Paths.Task(id))
	return err == nil
}

func (r *Tasks) killStray(leaf string) (killed int) {
	if err := r.Host.Adopt(process.Attempt{Leaf: leaf}); err != nil {
		r.Log.Printf("%v", err)
	}
	killed, err := r.Host.Kill(leaf)
	if err != nil {
		r.Log.Printf("cannot kill what runs in %s: %v", leaf, err)
	}
	return killed
}

// awaitEnd waits until nothing lives in leaves whose processes were killed, or
// endWithin has passed. It looks, for the host's news comes through the loop, which
// does not run before the tasks are taken up.
func (r *Tasks) awaitEnd(leaves []string) {
	late, look := time.NewTimer(endWithin), time.NewTicker(time.Millisecond)
	defer late.Stop()
	defer look.Stop()
	for _, leaf := range leaves {
		for alive := len(r.Host.Survivors(leaf)); alive > 0; alive = len(r.Host.Survivors(leaf)) {
			select {
			case <-look.C:
				continue
			case <-late.C:
				late.Reset(0) // it is late for those that follow, too
			}
			r.Log.Printf("%d processes in %s still live %v after they were killed", alive, leaf, endWithin)
			break
		}
	}
}

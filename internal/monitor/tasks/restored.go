package tasks

import (
	"os"
	"strings"
	"time"

	"deputy/internal/monitor/process"
)

// endWithin bounds the wait for what was killed because no record knows it.
const endWithin = 5 * time.Second

// A journal that was restored from a back-up is older than what happened. Of a
// task that lives in it nobody knows what became of it, so its end is unknown;
// and whatever of this installation still runs is ended, for nothing may live
// that the journal does not know. Signatures are good only from then on: see
// timely.

// endStrays ends what runs of tasks that the restored journal does not know, or
// whose end is unknown now.
func (r *Tasks) endStrays(leaves []string) {
	for _, leaf := range leaves {
		id, _, _ := strings.Cut(leaf, ".")
		if t := r.State.Tasks[id]; t != nil && !t.Lost || !r.ours(leaf, id) {
			continue
		}
		if n := r.endStray(leaf); n > 0 {
			r.Log.Printf("%d processes of task %s were ended: the restored journal does not know that it runs", n, id)
		}
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

func (r *Tasks) endStray(leaf string) (killed int) {
	if err := r.Host.Adopt(process.Attempt{Leaf: leaf}); err != nil {
		r.Log.Printf("%v", err)
	}
	killed, err := r.Host.Kill(leaf)
	if err != nil {
		r.Log.Printf("cannot kill what runs in %s: %v", leaf, err)
	}
	for end := time.Now().Add(endWithin); len(r.Host.Survivors(leaf)) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.Log.Printf("%d processes in %s still live %v after they were killed", len(r.Host.Survivors(leaf)), leaf, endWithin)
			break
		}
	}
	r.Host.Release(leaf)
	return killed
}

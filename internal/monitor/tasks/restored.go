package tasks

import (
	"deputy/internal/monitor/strays"
	"os"
	"slices"
	"strings"
)

// A journal that was restored from a back-up is older than what happened. Of a
// task that lives in it nobody knows what became of it, so its end is unknown;
// and whatever of this installation still runs is ended, for nothing may live
// that the journal does not know. Signatures are good only from then on: see
// timely.

// endStrays ends what runs of tasks that the restored journal does not know, or
// whose end is unknown now.
func (r *Tasks) endStrays(leaves []string) {
	strays.End(r.Host, slices.DeleteFunc(slices.Clone(leaves), func(leaf string) bool {
		id, _, _ := strings.Cut(leaf, ".")
		t := r.State.Tasks[id]
		return t != nil && !t.Lost || !r.ours(leaf, id)
	}), r.Log)
}

// ours says whether a leaf is of this installation: another's may lie beside it.
func (r *Tasks) ours(leaf, id string) bool {
	if r.Host.Ours(leaf) {
		return true
	}
	_, err := os.Stat(r.Paths.Task(id))
	return err == nil
}

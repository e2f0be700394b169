package monitor

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
func (m *Monitor) endStrays(leaves []string) {
	for _, leaf := range leaves {
		id, _, _ := strings.Cut(leaf, ".")
		if t := m.state.Tasks[id]; t != nil && !t.Lost || !m.ours(leaf, id) {
			continue
		}
		if n := m.endStray(leaf); n > 0 {
			m.log.Printf("%d processes of task %s were ended: the restored journal does not know that it runs", n, id)
		}
	}
}

// ours says whether a leaf is of this installation: another's may lie beside it.
func (m *Monitor) ours(leaf, id string) bool {
	if m.host.Ours(leaf) {
		return true
	}
	_, err := os.Stat(m.o.Paths.Task(id))
	return err == nil
}

func (m *Monitor) endStray(leaf string) (killed int) {
	if err := m.host.Adopt(process.Attempt{Leaf: leaf}); err != nil {
		m.log.Printf("%v", err)
	}
	killed, err := m.host.Kill(leaf)
	if err != nil {
		m.log.Printf("cannot kill what runs in %s: %v", leaf, err)
	}
	for end := time.Now().Add(endWithin); len(m.host.Survivors(leaf)) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			m.log.Printf("%d processes in %s still live %v after they were killed", len(m.host.Survivors(leaf)), leaf, endWithin)
			break
		}
	}
	m.host.Release(leaf)
	return killed
}

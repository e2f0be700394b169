package warden

import (
	"path/filepath"
	"slices"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/wall"
)

// Now is what a server is told that changes while the monitor lives.
type Now struct {
	Set      *manifest.Policy
	Draining bool // nothing new is taken
	Keyed    bool // there is a key: without one nobody could ask over a network
	Short    bool // the disk is full: a server that is started now may have its history in memory
}

// recentBytes is how much of the journal a server reads which has no disk for its history.
const recentBytes = 64 << 20

// greeting is what a server is told at its start.
func (w *Warden) greeting(now Now) wall.Greeting {
	p, c := w.o.Paths, now.Set.Config
	g := wall.Greeting{
		Release: deputy.Version, Name: c.Server.Name,
		TasksDir: p.Tasks(), HistoryDir: p.History, StateDir: p.State, ConfigDir: p.Config,
		Proof: w.host.Proof(), Weakness: Weakness(now.Set, w.host), CgroupTasks: w.host.TasksPath(),
		Policy: now.Set.Digest, Draining: now.Draining, Last: w.journal.Durable(), Recent: w.recently(), Connections: c.Default.Connections,
		Started: w.o.Started,
	}
	if now.Keyed {
		g.HTTP, g.HTTPS = c.Listen.HTTP, c.Listen.HTTPS
		g.Line = slices.DeleteFunc(slices.Clone(c.Listen.Line), filepath.IsAbs)
		g.Certificate, g.TLSKey, g.ClientCA = c.TLS.Certificate, c.TLS.Key, c.TLS.ClientCA
	}
	for _, module := range now.Set.Modules {
		for _, action := range module.Actions {
			g.MaxBody = max(g.MaxBody, action.MaxBody)
		}
	}
	return g
}

// recently gives the first record of the oldest segment of those that are within
// recentBytes, or of the newest.
func (w *Warden) recently() (first uint64) {
	var sum int64
	for _, s := range slices.Backward(w.journal.Segments()) {
		if sum += s.Bytes; first != 0 && sum > recentBytes {
			break
		}
		first = s.First
	}
	return first
}

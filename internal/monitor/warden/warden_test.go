package warden

import (
	"path/filepath"
	"slices"
	"testing"

	"deputy"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/site"
)

type host struct{}

func (host) Proof() string     { return "cgroup" }
func (host) Weakness() string  { return "" }
func (host) TasksPath() string { return "" }

// still is a warden whose server was told what is now, without one.
func still(t *testing.T, now *Now) *Warden {
	t.Helper()
	dir := t.TempDir()
	j, _, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{Checkpoint: func() *deputy.Event { return new(deputy.Event) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	w := New(Options{Paths: site.Under(dir, dir), Confiner: []string{"deputyd"}, Now: func() Now { return *now }})
	w.journal, w.host = j, host{}
	w.greeted = w.greeting(*now)
	w.planned = w.plan(now.Set, &w.greeted)
	return w
}

func renewed(w *Warden) bool {
	w.Renew()
	select {
	case <-w.renew:
		return true
	default:
		return false
	}
}

// What a server can be told while it lives is told it; only for what is settled at its
// start it is started anew.
func TestAServerIsStartedAnewForWhatItCannotBeTold(t *testing.T) {
	now := Now{Set: &manifest.Policy{Digest: "a", Config: &manifest.Config{}}}
	w := still(t, &now)
	if now.Draining, now.Set.Digest = true, "b"; renewed(w) {
		t.Error("it is started anew for another policy, or a drain")
	}
	if now.Keyed = true; renewed(w) {
		t.Error("it is started anew for a key that opens no front door")
	}
	now.Set.Config.Listen.HTTP = []string{"127.0.0.1:8080"}
	if !renewed(w) {
		t.Error("it is not started anew for another front door")
	}
}

// Nobody can sign without a key: then no port is opened, and the server may bind none.
func TestNoPortIsOpenWithoutAKey(t *testing.T) {
	config := &manifest.Config{}
	config.Listen.HTTP, config.Listen.Line, config.Server.Confine = []string{"127.0.0.1:8080"}, []string{"127.0.0.1:7000", "/run/line.sock"}, true
	now := Now{Set: &manifest.Policy{Config: config}}
	w := still(t, &now)
	if g := w.greeting(now); len(g.HTTP)+len(g.Line) > 0 {
		t.Errorf("without a key it listens on %q and %q", g.HTTP, g.Line)
	}
	now.Keyed = true
	g := w.greeting(now)
	if !slices.Equal(g.HTTP, config.Listen.HTTP) || !slices.Equal(g.Line, config.Listen.Line[:1]) {
		t.Errorf("with one it listens on %q and %q", g.HTTP, g.Line)
	}
	if p := w.plan(now.Set, &g); p != nil && !slices.Equal(p.Ports, []int{7000, 8080}) {
		t.Errorf("it may bind the ports %v", p.Ports)
	}
}

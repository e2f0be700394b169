package hosttest

import (
	"os"
	"testing"

	"deputy/internal/monitor/process"
)

// TestMain is the forker, the subreaper or a task, if this process was started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "@forker":
			os.Exit(process.ForkerMain())
		case "@reaper":
			os.Exit(process.ReaperMain(os.Args[2:]))
		}
	}
	Play()
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // or each process that is started waits for a second at its end
	os.Exit(m.Run())
}

// real is a machine with real processes.
type real struct {
	*Troupe
	options process.Options
}

func (r *real) Open(events func(process.Event)) (Host, error) {
	o := r.options
	o.Events = events
	return process.Open(o)
}

// newReal says what every system needs to know.
func newReal(t *testing.T) *real {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := NewTroupe(t)
	return &real{c, process.Options{Instance: "conformance", Forker: []string{self, "@forker"}, Reaper: []string{self, "@reaper"}, StateDir: t.TempDir()}}
}

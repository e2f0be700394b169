//go:build unix

package monitor

import (
	"strings"
	"testing"

	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/site"
)

// A program that cannot read the journal, or the configuration, says so.
func TestProve(t *testing.T) {
	o := Options{Paths: site.Under(t.TempDir(), t.TempDir()), Up: true}
	if err := Prove(o, journal.Format); err != nil {
		t.Errorf("of its own format: %v", err)
	}
	if err := Prove(o, journal.Format-1); err != nil {
		t.Errorf("of the format before: %v", err)
	}
	if err := Prove(o, journal.Format+1); err == nil || !strings.Contains(err.Error(), "cannot read the journal: it is written in format 3") {
		t.Errorf("of a newer format: %v", err)
	}
}

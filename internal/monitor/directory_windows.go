package monitor

import (
	"fmt"
	"os"

	"deputy/internal/monitor/manifest"
)

// makeDirectories makes what may be missing. Who may do what there follows from
// the access list of the folder above.
func (m *Monitor) makeDirectories(*manifest.Policy) error {
	p := m.o.Paths
	for _, path := range []string{p.State, p.journal(), p.tasks(), p.History} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return fmt.Errorf("cannot make %s: %w", path, err)
		}
	}
	return nil
}

// syncDir has nothing to do: NTFS writes names in the order in which they were
// made (its log), and a folder cannot be flushed.
func syncDir(string) error { return nil }

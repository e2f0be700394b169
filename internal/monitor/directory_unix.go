//go:build unix

package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"deputy/internal/monitor/manifest"
)

// makeDirectories makes what may be missing, each with its owner and mode.
func (m *Monitor) makeDirectories(set *manifest.Policy) error {
	p := m.o.Paths
	uid, gid := os.Geteuid(), os.Getegid()
	if u := set.Config.Server.User; u != nil && m.root() {
		uid, gid = int(u.UID), int(u.GID)
	}
	m.serverUID, m.serverGID = uid, gid
	for _, d := range []struct {
		path     string
		mode     os.FileMode
		uid, gid int
	}{
		{p.State, 0o755, -1, -1},
		{p.journal(), 0o700, -1, -1},
		{p.tasks(), 0o750, -1, gid},
		{p.reapers(), 0o700, -1, -1},
		{p.History, 0o700, uid, gid},
		{filepath.Dir(p.Notify), 0o755, -1, -1},
		{filepath.Dir(set.Config.Listen.Unix.Path), 0o755, -1, -1},
	} {
		if err := makeDirectory(d.path, d.mode, d.uid, d.gid); err != nil {
			return fmt.Errorf("cannot make %s: %w", d.path, err)
		}
	}
	return nil
}

// makeDirectory leaves the mode and owner of one that exists alone, unless an
// owner is asked for.
func makeDirectory(path string, mode os.FileMode, uid, gid int) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if uid < 0 && gid < 0 {
		return nil
	}
	return os.Chown(path, uid, gid)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

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
		m.serverUser = u.Word()
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
		{filepath.Dir(p.Notify), 0o755, -1, -1},
		{filepath.Dir(set.Config.Listen.Unix.Path), 0o755, -1, -1},
	} {
		if err := makeDirectory(d.path, d.mode, d.uid, d.gid); err != nil {
			return fmt.Errorf("cannot make %s: %w", d.path, err)
		}
	}
	if err := makeHistory(p.History, uid, gid); err != nil {
		return fmt.Errorf("cannot make %s: %w", p.History, err)
	}
	return nil
}

// makeHistory makes the server's own folder, or takes it as an earlier version
// left it. Where the server has a user of its own the folder is ours, and the
// server writes to it by its group: it can let nobody else in, whatever it leaves
// there.
func makeHistory(path string, uid, gid int) error {
	if uid == os.Geteuid() {
		return makeDirectory(path, 0o700, uid, gid)
	}
	const mode = 0o770
	if err := makeDirectory(path, mode, os.Geteuid(), gid); err != nil {
		return err
	}
	return os.Chmod(path, mode)
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

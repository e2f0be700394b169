//go:build unix

package site

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// What is missing is made with its owner and mode; what is there already keeps them, but
// for the two folders that the server reads or writes. The server can open no folder of
// ours to anybody else.

// MakeDirectories makes what may be missing, each with its owner and mode. socket is
// where callers ask.
func (p Paths) MakeDirectories(a Access, socket string) error {
	for _, d := range []struct {
		path     string
		mode     os.FileMode
		uid, gid int
	}{
		{p.State, 0o755, -1, -1},
		{p.Journal(), 0o700, -1, -1},
		{p.Tasks(), 0o750, -1, a.ServerGID},
		{p.Reapers(), 0o700, -1, -1},
		{filepath.Dir(p.Notify), 0o755, -1, -1},
		{filepath.Dir(socket), 0o755, -1, -1},
	} {
		if err := makeDirectory(d.path, d.mode, d.uid, d.gid); err != nil {
			return fmt.Errorf("cannot make %s: %w", d.path, err)
		}
	}
	if err := makeHistory(p.History, a.ServerUID, a.ServerGID); err != nil {
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

// Package durable writes so that what was written outlives a loss of power: when one
// of its functions returns without an error, what it names is on the disk.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteFile makes a file of mode 0600 that is on the disk, whole, with its name.
func WriteFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return Dir(filepath.Dir(path))
}

// File syncs a file that was written and closed.
func File(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

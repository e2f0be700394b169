//go:build unix

package durable

import (
	"errors"
	"os"
)

// Dir makes the names in a directory durable: births, deaths and renames of files.
func Dir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

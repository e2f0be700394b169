package signers

import (
	"fmt"
	"os"

	"deputy/internal/monitor/manifest"
)

// readKey reads a key file only if nobody else can replace it, or read it.
func readKey(path string, _ uint32) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > 64<<10:
		return nil, fmt.Errorf("%s has %d bytes: that is no key", path, info.Size())
	}
	if err := manifest.Secret(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

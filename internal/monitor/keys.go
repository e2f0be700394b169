package monitor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"deputy/internal/signature"
)

// secret is one line of a key file: it lives as long as the line does.
type secret struct {
	text []byte
	name string // what the journal calls it: a seal, from which the secret does not follow
}

// keys are the live secrets by the name of their key.
type keys map[string][]secret

// loadKeys reads every key file. One that others could read or replace is not
// used, and why not is a warning: a caller without a key is denied.
func loadKeys(dir string, uid uint32, seal func(string) string) (keys, []string) {
	found := keys{}
	var warnings []string
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return found, []string{fmt.Sprintf("cannot read the keys: %v; every signature is refused", err)}
	}
	for _, entry := range entries {
		name := entry.Name()
		if !signature.ValidID(name) {
			continue // an editor's copy, a hidden file
		}
		text, err := readKey(filepath.Join(dir, name), uid)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("the key %s is not used: %v", name, err))
			continue
		}
		for _, line := range bytes.Split(text, []byte{'\n'}) {
			if len(line) > 0 {
				found[name] = append(found[name], secret{line, seal("deputy key " + name + "\n" + string(line))[:28]})
			}
		}
		if len(found[name]) == 0 {
			warnings = append(warnings, fmt.Sprintf("the key %s is empty; make one with: deputy key new %s", name, name))
		}
	}
	return found, warnings
}

// readKey opens a key file without following a link, and reads it only if its
// owner alone can.
func readKey(path string, uid uint32) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s is not a regular file", path)
	case st.Uid != 0 && st.Uid != uid:
		return nil, fmt.Errorf("%s belongs to uid %d; remedy: chown root %s", path, st.Uid, path)
	case st.Mode&0o077 != 0:
		return nil, fmt.Errorf("%s can be read by others (mode %04o); remedy: chmod 600 %s, and a new secret if somebody may have read it", path, st.Mode&0o777, path)
	case st.Size > 64<<10:
		return nil, fmt.Errorf("%s has %d bytes: that is no key", path, st.Size)
	}
	text := make([]byte, st.Size)
	n, err := f.Read(text)
	if err != nil && n == 0 && st.Size > 0 {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return text[:n], nil
}

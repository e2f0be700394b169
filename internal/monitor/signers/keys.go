package signers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"deputy/internal/signature"
)

// secret is one line of a key file: it lives as long as the line does.
type secret struct {
	text []byte
	name string // what the journal calls it: a seal, from which the secret does not follow
}

// Keys are the live secrets by the name of their key.
type Keys map[string][]secret

// readKeys reads every key file.
func readKeys(dir string, uid uint32, seal func(string) string) (Keys, []string) {
	found := Keys{}
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
		if bytes.HasPrefix(text, []byte("\ufeff")) {
			warnings = append(warnings, fmt.Sprintf("the key %s is not used: %s begins with a byte order mark; save it without one", name, filepath.Join(dir, name)))
			continue
		}
		for _, line := range bytes.Split(text, []byte{'\n'}) {
			line = bytes.TrimRight(line, "\r") // an editor's of Windows: no client signs with it
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

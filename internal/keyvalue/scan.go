package keyvalue

import "bytes"

// Scan finds the two values that the original's scheme is made of, in a message
// that nobody has authenticated yet: it looks for two keys, and reads nothing
// else. One that has a key twice, or lacks one, gives none. Whatever Scan takes for
// the module Parse takes for it, too, or refuses the message.
func Scan(message []byte) (module, signature string) {
	if len(message) > MaxMessage {
		return "", ""
	}
	var found [2][]byte
	for line := range bytes.Lines(message) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
		if len(line) == 0 {
			break
		}
		key, value, _ := bytes.Cut(line, []byte{':'})
		for i, wanted := range [...]string{"module", "signature"} {
			if !isKey(key, wanted) {
				continue
			}
			if found[i] != nil {
				return "", ""
			}
			found[i] = bytes.TrimPrefix(value, []byte{' '})
		}
	}
	if len(found[0]) == 0 || len(found[1]) == 0 {
		return "", ""
	}
	return string(found[0]), string(found[1])
}

// isKey says whether a key is the wanted one, in letters of any case. No letter
// beyond ASCII stands for one.
func isKey(key []byte, wanted string) bool {
	key = bytes.TrimRight(key, " \t")
	if len(key) != len(wanted) {
		return false
	}
	for i, c := range key {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != wanted[i] {
			return false
		}
	}
	return true
}

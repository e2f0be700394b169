package manifest

// Trust says whose files may decide what runs: root's, and those of UIDs.
type Trust struct{ UIDs []uint32 }

// Trusted says why a file cannot be trusted: it, each folder above it, and all
// that its symbolic links lead through must belong to root or one of uids, and
// nobody else may write there.
func Trusted(path string, uids ...uint32) error { return Trust{uids}.Check(path) }

// Check is Trusted for several absolute paths; what they share is looked at
// once. It asks the kernel anew each time, about 1 µs for each name in a path.
func (t Trust) Check(paths ...string) error {
	sound := make(map[string]bool, 16) // resolved folders that were looked at: are they sticky and writable by all?
	for _, path := range paths {
		if err := t.walk(path, sound); err != nil {
			message, remedy := split(err)
			return advise(remedy, "cannot trust %s: %s", path, message)
		}
	}
	return nil
}

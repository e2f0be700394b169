package space

import (
	"os"
	"path/filepath"
	"time"

	"deputy"
	"deputy/internal/output"
)

// What a task leaves is charged to the account that asked for it, with what it takes on
// the disk and not with what it seems to be. What is empty is not kept.

// expiresMarker is a file in a task's directory, where its action declares `keep`: when
// its output is too old, as RFC 3339 writes it.
const expiresMarker = "expires"

// Leavings is what a task that has ended leaves in its directory.
type Leavings struct {
	ID                 string
	Account            deputy.Caller // to which it is charged
	Keep               time.Duration // how long its output is kept; 0: as [storage] says
	NoStdout, NoStderr bool          // nothing was written there
	Secret             bool          // it had sensitive values, which are gone
}

// Shelve takes care of what a task that has ended leaves: what is empty goes, the rest
// is charged. It may wait for the disk.
func (k *Keeper) Shelve(l Leavings) {
	defer k.Look()
	dir := filepath.Join(k.o.Tasks, l.ID)
	if !k.capper.Tidy(dir, l.NoStdout, l.NoStderr, l.Secret) {
		return
	}
	kept := keptOutput{id: l.ID}
	if l.Keep > 0 {
		kept.until = time.Now().Add(l.Keep)
		text := kept.until.UTC().Format(time.RFC3339)
		os.WriteFile(filepath.Join(dir, expiresMarker), []byte(text), 0o640) // without it [storage] keep counts
	}
	_ = writeOwner(dir, l.Account) // without it nobody in particular is charged after the next start
	kept.size = sizeOf(dir)
	k.shelf.put(l.Account, kept)
}

// sizeOf is what a task's directory takes on the disk.
func sizeOf(dir string) charge {
	sum := charge{bytes: 4096, inodes: 1} // the directory itself
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		sum.add(charge{allocated(filepath.Join(dir, entry.Name())), 1})
	}
	return sum
}

func lastWrite(dir string) time.Time {
	var last time.Time
	for _, name := range []string{output.Stdout, output.Stderr} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

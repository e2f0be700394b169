package space

import (
	"os"
	"path/filepath"

	"deputy"
)

const ownerMarker = "caller"

// writeOwner says in a task's directory to which caller its output is charged.
func writeOwner(dir string, who deputy.Caller) error {
	return os.WriteFile(filepath.Join(dir, ownerMarker), []byte(who), 0o640)
}

// readOwner is nobody in particular where nothing says so.
func readOwner(dir string) deputy.Caller {
	text, err := os.ReadFile(filepath.Join(dir, ownerMarker))
	if err != nil {
		return ""
	}
	return deputy.Caller(text)
}

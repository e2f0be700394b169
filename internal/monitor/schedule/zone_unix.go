//go:build unix

package schedule

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
)

// localtime holds the system's zone: zone data, or a link to them (localtime(5)).
const localtime = "/etc/localtime"

// systemZone reads the system's zone anew: time.Local is as it was when the process
// started.
func systemZone() (*time.Location, error) {
	if zoneSet() {
		return time.Local, nil
	}
	return readZone(localtime)
}

// readZone reads a file of zone data, which is named by where it is a link to. Without
// a file the system's zone is UTC, as for libc.
func readZone(path string) (*time.Location, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return time.UTC, nil
	}
	if err == nil {
		name := "Local"
		target, _ := os.Readlink(path)
		if _, after, ok := strings.Cut(target, "zoneinfo/"); ok {
			name = after
		}
		var zone *time.Location
		if zone, err = time.LoadLocationFromTZData(name, data); err == nil {
			return zone, nil
		}
	}
	return nil, &Error{Key: "zone", Reason: "the system's own zone cannot be read from " + path + " (" + err.Error() + ")",
		Remedy: `write a zone (as in "Europe/Berlin"), or correct ` + path}
}

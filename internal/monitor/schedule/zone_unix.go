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
// started. Without a file the system's zone is UTC, as for libc.
func systemZone() (*time.Location, error) {
	if zoneSet() {
		return time.Local, nil
	}
	data, err := os.ReadFile(localtime)
	if errors.Is(err, fs.ErrNotExist) {
		return time.UTC, nil
	}
	name := "Local"
	if target, err := os.Readlink(localtime); err == nil {
		if _, after, ok := strings.Cut(target, "zoneinfo/"); ok {
			name = after
		}
	}
	if err == nil {
		var zone *time.Location
		if zone, err = time.LoadLocationFromTZData(name, data); err == nil {
			return zone, nil
		}
	}
	return nil, &Error{Key: "zone", Reason: "the system's own zone cannot be read from " + localtime + " (" + err.Error() + ")",
		Remedy: `write a zone (as in "Europe/Berlin"), or correct ` + localtime}
}

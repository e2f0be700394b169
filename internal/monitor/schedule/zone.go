package schedule

import (
	"os"
	"strings"
	"time"
)

// Zone finds a time zone by its name in the system's zone data (tzset(3)), or the
// system's own zone where name is empty. It reads the data anew each time, so that
// what is made from it follows an update of them.
func Zone(name string) (*time.Location, error) {
	refuse := func(reason, remedy string) (*time.Location, error) {
		return nil, &Error{Key: "zone", Text: name, Reason: reason, Remedy: remedy}
	}
	switch {
	case name == "":
		return systemZone()
	case name == "Local":
		return refuse("it names no zone", "leave zone out for the system's own")
	case strings.HasPrefix(name, "right/"):
		return refuse("its clock counts leap seconds, which the system's does not", "write the name without right/")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return refuse("it is not in the zone data of this system ("+err.Error()+")",
			`correct the name (as in "Europe/Berlin"), or install tzdata, for old names tzdata-legacy`)
	}
	return zone, nil
}

// zoneSet says that this process was given a zone of its own, which it keeps.
func zoneSet() bool {
	_, ok := os.LookupEnv("TZ")
	return ok
}

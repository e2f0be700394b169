package schedule

import (
	"time"
	_ "time/tzdata" // Windows knows zones by names of its own, and has no zone data of these
)

// systemZone is the zone that the process found when it started.
func systemZone() (*time.Location, error) { return time.Local, nil }

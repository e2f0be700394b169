package clock

import "time"

// Clock tells the time of one boot, and the wall's. A test sets its own.
type Clock struct {
	Boot string           // names the boot; see Boot
	Now  func() int64     // ns since some time before the boot's end; see Now
	Wall func() time.Time // what the machine takes for the time, which may be set
}

// Since is how long ago something was that was noted in a boot, at a time of its
// boot clock in ns and of the wall. In one boot the boot clock says it; across boots
// only the wall clock, which may be wrong, goes on.
func (c Clock) Since(boot string, ns int64, wall time.Time) time.Duration {
	if boot == c.Boot {
		return time.Duration(c.Now() - ns)
	}
	return c.Wall().Sub(wall)
}

package keeper

import "time"

// How long a monitor that died is not started again.
const (
	firstDelay = 100 * time.Millisecond // the first restart is at once, the second after this, then doubling
	lastDelay  = 5 * time.Second
	longLife   = 10 * time.Second // after such a life a monitor is restarted at once again
)

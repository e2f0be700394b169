package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"time"
)

// Spread is how much later than its nominal times a schedule of this name starts:
// whole seconds in [0, width). seal must be a keyed hash (HMAC) under a key of the
// installation, so that the same name has the same offset for ever, other
// installations have others, and nobody without the key can tell it.
//
// A new draw for each run is what makes the time between two runs differ
// (systemd#18678, systemd#39739).
func Spread(name string, width time.Duration, seal func(text string) string) time.Duration {
	sum := sha256.Sum256([]byte(seal("spread of a schedule\x00" + name)))
	seconds, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:]), uint64(max(width, 0)/time.Second))
	return time.Duration(seconds) * time.Second
}

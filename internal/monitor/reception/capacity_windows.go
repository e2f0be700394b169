package reception

import "math"

// findCapacity: handles have no limit that matters.
func findCapacity() (capacity, error) { return capacityOf(math.MaxUint64), nil }

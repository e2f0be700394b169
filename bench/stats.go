//go:build linux

package main

import (
	"math"
	"slices"
	"time"
)

// quantile gives the smallest of values that at least q of them do not exceed.
// Values are sorted in place; of none it is the zero value.
func quantile[T float64 | time.Duration](values []T, q float64) (v T) {
	if len(values) == 0 {
		return v
	}
	slices.Sort(values)
	return values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
}

func median[T float64 | time.Duration](values []T) T { return quantile(values, 0.5) }

// ratios divides pair by pair: a and b were measured in turns, so that a busy
// machine slows both.
func ratios(a, b []float64) []float64 {
	r := make([]float64, 0, len(a))
	for i := range min(len(a), len(b)) {
		r = append(r, a[i]/b[i])
	}
	return r
}

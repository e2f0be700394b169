package queue

import (
	"fmt"
	"testing"
)

// The longest line there may be, in its worst form: each who waits is somebody else's.
func BenchmarkPositions(b *testing.B) {
	for _, callers := range []int{1, 1000} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			l := New(Rules{Parallel: 1, Fair: ByEndUser})
			for i := range 1000 {
				l.Wait(Entry{ID: fmt.Sprint(i), Caller: "x", EndUser: fmt.Sprint(i % callers), Seq: uint64(i)})
			}
			for b.Loop() {
				if n := len(l.Standing(0, func(string) bool { return true }).Positions()); n != 1000 {
					b.Fatalf("%d positions", n)
				}
			}
		})
	}
}

package clock

import (
	"slices"
	"testing"
	"time"
)

func TestTimersRunInTheOrderOfTheirTimesOnceTheyAreDue(t *testing.T) {
	now := int64(1000)
	ts := NewTimers(func() int64 { return now })
	var did []string
	do := func(what string) func() { return func() { did = append(did, what) } }
	ts.After(3*time.Nanosecond, do("third"))
	cancelled := ts.At(1001, do("cancelled"))
	ts.At(1002, do("second"))
	ts.At(1003, do("fourth"))
	ts.At(1003, do("fifth"))
	ts.At(900, do("first"))
	late := ts.After(time.Hour, do("late"))
	ts.Cancel(cancelled)
	ts.Cancel(cancelled)
	ts.Cancel(nil)
	now = 1003
	ts.Run()
	if want := []string{"first", "second", "third", "fourth", "fifth"}; !slices.Equal(did, want) {
		t.Errorf("they did %q, want %q", did, want)
	}
	if late.At() != 1000+int64(time.Hour) {
		t.Errorf("the late one is due at %d", late.At())
	}
}

func TestTheLoopIsWokenForWhatIsDue(t *testing.T) {
	ts := NewTimers(Now)
	done := false
	ts.After(time.Millisecond, func() { done = true })
	for !done {
		<-ts.Due()
		ts.Run()
	}
}

func TestTheBootClockGoesOnAndTheBootHasOneName(t *testing.T) {
	one, err := Boot()
	if err != nil || one == "" {
		t.Fatalf("%q, %v", one, err)
	}
	if two, err := Boot(); two != one || err != nil {
		t.Errorf("%q, %v; it was %q", two, err, one)
	}
	if before := Now(); before <= 0 || Now() < before {
		t.Errorf("%d", before)
	}
}

package doctor

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// clock asks the kernel whether somebody keeps its clock right.
func clock(*Machine, context.Context) []Finding {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return unseen(fmt.Sprintf("cannot ask whether the clock is right: %v", err), "timedatectl")
	}
	return clockState(state, t.Status)
}

// clockState reads what adjtimex(2) says.
func clockState(state int, status int32) []Finding {
	if state == unix.TIME_ERROR || status&unix.STA_UNSYNC != 0 {
		return []Finding{{Level: Weaker, What: "nothing keeps the clock right: it is not synchronised",
			Follows: signed + "; and the journal's times are what they are", Remedy: "timedatectl set-ntp true, or install chrony"}}
	}
	return ok("the clock is synchronised")
}

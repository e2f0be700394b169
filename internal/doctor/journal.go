package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"deputy/internal/monitor/journal"
)

// journalChain follows the newest segment, or all of them.
func journalChain(m *Machine, _ context.Context) []Finding {
	var r *journal.Report
	var err error
	part := "its last segment"
	if m.Full {
		part = "all of it"
		r, err = journal.Verify(m.journal(), nil, nil)
	} else {
		r, err = journal.VerifyLast(m.journal())
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return unseen("the journal is for the daemon's user alone", asRoot)
	case errors.Is(err, fs.ErrNotExist):
		return ok("there is no journal in " + m.State + " yet")
	case err != nil:
		return []Finding{{Level: Wrong, What: fmt.Sprintf("%v", err), Remedy: "deputy audit verify --journal " + m.journal()}}
	case !r.OK():
		return []Finding{{Level: Wrong, What: fmt.Sprintf("the journal is not as it was written: %s", r.Faults[0]),
			Remedy: "keep a copy of " + m.journal() + "; all faults: deputy audit verify --journal " + m.journal()}}
	}
	list := ok(fmt.Sprintf("the journal is as it was written (%s: records %d to %d)", part, r.First, r.Head.Seq))
	if ahead := r.Head.Time.Sub(m.Now()); ahead > time.Minute {
		list = append(list, Finding{Level: Weaker, Follows: "records and ids stand in another order than their times",
			What:   fmt.Sprintf("the clock is %s before the journal's last record", ahead.Round(time.Second)),
			Remedy: "set the clock: timedatectl set-ntp true"})
	}
	return list
}

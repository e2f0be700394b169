package output

import (
	"sync/atomic"
	"time"
)

const (
	patience      = 100 * time.Millisecond
	largePatience = time.Second
	mostAside     = 256 // a task that is held up is a live one of its caller, who may have so many
)

// aside does what may have to wait for whoever has a task's file open: to write from memory that is
// mapped from a file system which does not answer makes the kernel keep the file's lock, for as long
// as that takes. What is to be cut, closed or deleted then waits, and cannot be killed.
type aside struct {
	places chan struct{} // one for each that is under way
	heldUp atomic.Int64  // that took longer than patience, and have not ended
}

func newAside() aside { return aside{places: make(chan struct{}, mostAside)} }

// do waits for do, but no longer than patience: then it goes on beside.
func (a *aside) do(patience time.Duration, do func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.places <- struct{}{}
		defer func() { <-a.places }()
		do()
	}()
	enough := time.NewTimer(patience)
	defer enough.Stop()
	select {
	case <-ended:
	case <-enough.C:
		a.heldUp.Add(1)
		go func() {
			<-ended
			a.heldUp.Add(-1)
		}()
	}
}

// Beside does something to the files of a task that has ended, and does not wait long for it.
func (c *Capper) Beside(do func()) { c.aside.do(patience, do) }

// HeldUp is how much is held up now. As long as that is so this process cannot end.
func (c *Capper) HeldUp() int { return int(c.aside.heldUp.Load()) }

package output

import "time"

const (
	patience      = 100 * time.Millisecond
	largePatience = time.Second
	mostAside     = 256 // a task that is held up is a live one of its caller, who may have so many
)

// aside does what may have to wait for whoever has a task's file open: to write from memory that is
// mapped from a file system which does not answer makes the kernel keep the file's lock, for as long
// as that takes. What is to be cut, closed or deleted then waits, and cannot be killed.
type aside chan struct{} // one for each that is under way

// do waits for do, but no longer than patience: then it goes on beside.
func (a aside) do(patience time.Duration, do func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a <- struct{}{}
		defer func() { <-a }()
		do()
	}()
	enough := time.NewTimer(patience)
	defer enough.Stop()
	select {
	case <-ended:
	case <-enough.C:
	}
}

// Beside does something to the files of a task that has ended, and does not wait long for it.
func (c *Capper) Beside(do func()) { c.aside.do(patience, do) }

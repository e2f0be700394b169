package monitor

import (
	"errors"

	"golang.org/x/sys/windows"

	"deputy/internal/wall"
)

// reception accepts every connection to the pipe, reads there and then who is
// at the other end, gives it a number that is never used again, and passes it
// on through the door.
type reception struct {
	connections
	closed chan struct{}
}

func newReception(s share) (*reception, error) {
	return &reception{connections: newConnections(s), closed: make(chan struct{})}, nil
}

func (r *reception) listen(string) error {
	return errors.New("cannot listen on a pipe: not on Windows yet")
}

// open begins to accept, for a server at the other end of door.
func (r *reception) open(door *wall.Door) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.door, r.retiring = door, false
	return nil
}

// retire closes the door behind the last connection that went through it.
func (r *reception) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retiring = true
	if r.door != nil {
		r.door.Close()
	}
}

// shut stops accepting and forgets every connection.
func (r *reception) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.door, r.retiring = nil, false
	for fd, c := range r.byFD {
		r.drop(fd, c)
	}
	clear(r.byNumber)
}

// run accepts and watches until close is called.
func (r *reception) run() error {
	<-r.closed
	return nil
}

func (r *reception) close() {
	r.shut()
	close(r.closed)
}

func closeDescriptor(handle int) { windows.CloseHandle(windows.Handle(handle)) }

package httpapi

import (
	"net/http"
	"sync"
	"time"
)

// keepAlive is how often a silent stream of events shows that it lives.
const keepAlive = 15 * time.Second

// eventStream writes server-sent events (the HTML standard, section 9.2).
type eventStream struct {
	w     http.ResponseWriter
	flush *http.ResponseController
	quit  chan struct{}
	done  chan struct{}

	mu   sync.Mutex // one event at a time
	text []byte
}

// beginsEvents sends the head of a stream, and says whether that is all: a HEAD
// is told what a GET would begin with, and waits for nothing.
func (x *exchange) beginsEvents() (whole bool) {
	h := x.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	x.w.WriteHeader(http.StatusOK)
	return x.r.Method == http.MethodHead
}

// openEvents goes on with a stream that was begun; close ends it.
func (x *exchange) openEvents() *eventStream {
	s := &eventStream{w: x.w, flush: http.NewResponseController(x.w), quit: make(chan struct{}), done: make(chan struct{})}
	_ = s.flush.Flush()
	go s.beat()
	return s
}

// close returns when nothing is written any more.
func (s *eventStream) close() {
	close(s.quit)
	<-s.done
}

func (s *eventStream) beat() {
	defer close(s.done)
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-ticker.C:
			s.mu.Lock()
			_, _ = s.w.Write([]byte(":\n\n")) // who writes next sees the error
			_ = s.flush.Flush()
			s.mu.Unlock()
		}
	}
}

// send writes one event. data is one line; kind may be empty.
func (s *eventStream) send(id, kind string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := append(s.text[:0], "id: "...)
	b = append(b, id...)
	if kind != "" {
		b = append(b, "\nevent: "...)
		b = append(b, kind...)
	}
	b = append(b, "\ndata: "...)
	b = append(b, data...)
	b = append(b, "\n\n"...)
	s.text = b
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.flush.Flush()
}

// lastEventID is where a client wants to read on; given is false where it says
// nothing.
func (x *exchange) lastEventID() (id int64, given bool, err error) {
	values := x.r.Header["Last-Event-Id"]
	if len(values) == 0 {
		return 0, false, nil
	}
	id, err = parseNumber(values[0])
	if err != nil || len(values) > 1 {
		return 0, false, badRequest("cannot read on behind Last-Event-ID %.50q: send the id of the last event, once", values[0])
	}
	return id, true, nil
}

package wall

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"sync"
)

// Source is where the monitor's end takes the journal from.
type Source interface {
	// Next gives at most limit durable records, without their newlines, and
	// the number of the one behind them; none when it has caught up. Numbers
	// rise by one from record to record.
	Next(limit int) (lines [][]byte, next uint64, err error)
}

// Peer is the monitor's end of the stream. Answers are queued and never block
// the caller; the journal goes out behind them.
type Peer struct {
	stream io.ReadWriter
	in     *bufio.Reader
	slots  chan struct{} // one for each request without its answer written: a server that reads nothing is read from no more

	mu     sync.Mutex // guards what follows
	wake   sync.Cond
	queue  [][]byte
	freed  int  // answers in queue
	more   bool // the source may have records
	closed bool
}

// NewPeer takes one end of a connected stream socket.
func NewPeer(stream io.ReadWriter) *Peer {
	p := &Peer{stream: stream, in: bufio.NewReaderSize(stream, 256<<10), slots: make(chan struct{}, MaxPending)}
	p.wake.L = &p.mu
	return p
}

// Greet reads the server's hello, which must name our version, and answers it.
// Then it reads from which record on the server wants the journal.
func (p *Peer) Greet(g Greeting) (from uint64, err error) {
	hello, err := p.Receive()
	if err != nil {
		return 0, err
	}
	if hello.Kind != Hello || hello.Version != Version {
		return 0, broken("a server that does not say hello in version %d", Version)
	}
	g.Version = Version
	frame, err := encodeJSON(GreetingKind, nil, g)
	if err != nil {
		return 0, err
	}
	if _, err := p.stream.Write(frame); err != nil {
		return 0, err
	}
	follow, err := p.Receive()
	if err != nil {
		return 0, err
	}
	if follow.Kind != Follow {
		return 0, broken("a server that does not say from where it follows")
	}
	return follow.From, nil
}

// Receive reads the next request. An error that wraps ErrBroken means that the
// server must be killed; any other, that it is gone.
func (p *Peer) Receive() (*Request, error) {
	frame, err := readFrame(p.in, MaxFrame)
	if err != nil {
		return nil, err
	}
	r, err := decodeRequest(frame)
	if err != nil {
		return nil, err
	}
	if r.Kind != Hello && r.Kind != Follow {
		p.slots <- struct{}{}
	}
	return r, nil
}

// Answer queues the one answer of a request. The server holds it back until it
// has applied the journal up to seq.
func (p *Peer) Answer(id, seq uint64, o Outcome) {
	frame, err := encodeJSON(AnswerKind, []uint64{id, seq}, o)
	if err != nil {
		frame, _ = encodeLine(AnswerKind, []uint64{id, seq}, []byte(`{"error":{"code":"outcome_unknown","detail":"cannot answer: the answer is too large"}}`))
	}
	p.enqueue(frame, 1)
}

// Policy tells the server that another policy is in force.
func (p *Peer) Policy(digest string) {
	frame, _ := encodeLine(PolicyKind, nil, []byte(digest))
	p.enqueue(frame, 0)
}

// Draining tells the server whether anything new is taken.
func (p *Peer) Draining(on bool) {
	e := encoder{b: make([]byte, 4, 6)}
	e.b = append(e.b, byte(DrainingKind))
	e.flag(on)
	frame, _ := e.frame()
	p.enqueue(frame, 0)
}

func (p *Peer) enqueue(frame []byte, answers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, frame)
	p.freed += answers
	p.wake.Signal()
}

// Advanced tells that the source may have records again.
func (p *Peer) Advanced() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.more = true
	p.wake.Signal()
}

// Close ends Write, and Receive where it waits for answers to be written.
func (p *Peer) Close() {
	p.mu.Lock()
	p.closed = true
	p.wake.Signal()
	p.mu.Unlock()
	p.free(MaxPending)
}

// free gives back up to n slots. It never waits: Close may have been first.
func (p *Peer) free(n int) {
	for range n {
		select {
		case <-p.slots:
		default:
			return
		}
	}
}

const streamBatch = 256 // records between two looks at the queue

// Write sends answers and records until the peer is closed or gone. It is the
// only writer after the greeting.
func (p *Peer) Write(source Source) error {
	p.mu.Lock()
	p.more = true
	p.mu.Unlock()
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && !p.more && !p.closed {
			p.wake.Wait()
		}
		queue, answers, more := p.queue, p.freed, p.more
		p.queue, p.freed, p.more = nil, 0, false
		closed := p.closed
		p.mu.Unlock()
		if closed {
			return nil
		}
		batch := bytes.Join(queue, nil)
		if more || answers > 0 { // what an answer names is durable: it goes in the same write
			var err error
			if batch, err = p.appendRecords(batch, source); err != nil {
				return err
			}
		}
		if len(batch) > 0 {
			if _, err := p.stream.Write(batch); err != nil {
				return err
			}
		}
		p.free(answers)
	}
}

func (p *Peer) appendRecords(batch []byte, source Source) ([]byte, error) {
	lines, next, err := source.Next(streamBatch)
	if err != nil {
		return nil, fmt.Errorf("cannot stream the journal: %w", err)
	}
	seq := next - uint64(len(lines))
	for i, line := range lines {
		frame, err := encodeLine(RecordKind, []uint64{seq + uint64(i)}, line)
		if err != nil {
			return nil, err
		}
		batch = append(batch, frame...)
	}
	if len(lines) > 0 {
		p.Advanced() // there may be more
	}
	return batch, nil
}

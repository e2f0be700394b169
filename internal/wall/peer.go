package wall

import (
	"bufio"
	"bytes"
	"encoding/json"
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
// the caller; the journal goes out behind them. A server that asks for more than
// is answered, or reads nothing, is read from no more: it is not killed for that.
type Peer struct {
	stream io.ReadWriter
	in     *bufio.Reader

	mu      sync.Mutex // guards what follows
	wake    sync.Cond  // for Write
	room    sync.Cond  // for Receive and AwaitRoom
	queue   [][]byte
	unsent  int  // bytes of queue, and of what is being written
	freed   held // of the requests that the answers in queue are for
	pending held // requests without their answer written
	more    bool // the source may have records
	closed  bool
	broken  error // what Receive ends with
}

// held is what requests take of the memory.
type held struct{ requests, bytes int }

// NewPeer takes one end of a connected stream socket.
func NewPeer(stream io.ReadWriter) *Peer {
	p := &Peer{stream: stream, in: bufio.NewReaderSize(stream, 256<<10)}
	p.wake.L, p.room.L = &p.mu, &p.mu
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

// Receive reads the next request, once there is room for it, all but its values:
// see Unpack. An error that wraps ErrBroken means that the server must be killed;
// any other, that it is gone.
func (p *Peer) Receive() (*Request, error) {
	r, err := p.receive()
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.broken != nil {
			return nil, p.broken
		}
	}
	return r, err
}

func (p *Peer) receive() (*Request, error) {
	size, err := readSize(p.in, MaxFrame)
	if err != nil {
		return nil, err
	}
	if err := p.reserve(size); err != nil {
		return nil, err
	}
	frame, err := readBody(p.in, size)
	if err != nil {
		return nil, err
	}
	r, err := decodeFields(frame)
	if err != nil {
		return nil, err
	}
	if r.Size = size; r.Kind.Access() == Opening { // it has no answer
		p.free(held{1, size})
	}
	return r, nil
}

// reserve waits for room for one more request.
func (p *Peer) reserve(size int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && (p.pending.requests >= MaxPending || p.pending.bytes > 0 && p.pending.bytes+size > MaxHeld) {
		p.room.Wait()
	}
	if p.closed {
		return io.ErrClosedPipe
	}
	p.pending.requests++
	p.pending.bytes += size
	return nil
}

// free gives the room of requests back.
func (p *Peer) free(h held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending.requests -= h.requests
	p.pending.bytes -= h.bytes
	p.room.Broadcast()
}

// AwaitRoom returns once the server has read most of what it was answered, or is gone.
func (p *Peer) AwaitRoom() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.unsent > MaxUnsent && !p.closed {
		p.room.Wait()
	}
}

// Answer queues the one answer of a request. The server holds it back until it
// has applied the journal up to seq.
func (p *Peer) Answer(r *Request, seq uint64, o Outcome) { p.AnswerText(r, seq, o.Text()) }

// AnswerText is Answer with an outcome that was written before, by whoever has the
// time for it.
func (p *Peer) AnswerText(r *Request, seq uint64, text []byte) {
	frame, _ := encodeLine(AnswerKind, []uint64{r.ID, seq}, text) // no text is as long as a frame may be
	p.enqueue(frame, held{1, r.Size})
}

// Text is an outcome as the wall carries it, or that it is too large.
func (o *Outcome) Text() []byte {
	text, err := json.Marshal(o)
	if err != nil || len(text) > MaxAnswer-64 {
		text = []byte(`{"error":{"code":"too_large","detail":"cannot answer: the answer is too large; ask for less at a time"}}`)
	}
	return text
}

// Policy tells the server that another policy is in force.
func (p *Peer) Policy(digest string) {
	frame, _ := encodeLine(PolicyKind, nil, []byte(digest))
	p.enqueue(frame, held{})
}

// Draining tells the server whether anything new is taken.
func (p *Peer) Draining(on bool) {
	e := encoder{b: make([]byte, 4, 6)}
	e.b = append(e.b, byte(DrainingKind))
	e.flag(on)
	frame, _ := e.frame()
	p.enqueue(frame, held{})
}

func (p *Peer) enqueue(frame []byte, answered held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed { // nobody reads it
		return
	}
	p.queue = append(p.queue, frame)
	p.unsent += len(frame)
	p.freed.requests += answered.requests
	p.freed.bytes += answered.bytes
	p.wake.Signal()
}

// Advanced tells that the source may have records again.
func (p *Peer) Advanced() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.more = true
	p.wake.Signal()
}

// Gone says whether nobody reads answers any more.
func (p *Peer) Gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// Close ends Write, and whoever waits for room.
func (p *Peer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.wake.Signal()
	p.room.Broadcast()
}

// Break has Receive end with err, for which the server must be killed.
func (p *Peer) Break(err error) {
	p.mu.Lock()
	p.broken = err
	p.mu.Unlock()
	p.Close()
	if stream, ok := p.stream.(io.Closer); ok {
		stream.Close()
	}
}

const streamBatch = 256 // records between two looks at the queue

// Write sends answers and records until the peer is closed or gone. It is the
// only writer after the greeting.
func (p *Peer) Write(source Source) error {
	defer p.Close() // no room is given back any more
	p.mu.Lock()
	p.more = true
	p.mu.Unlock()
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && !p.more && !p.closed {
			p.wake.Wait()
		}
		queue, answered, more := p.queue, p.freed, p.more
		p.queue, p.freed, p.more = nil, held{}, false
		closed := p.closed
		p.mu.Unlock()
		if closed {
			return nil
		}
		batch := bytes.Join(queue, nil)
		queued := len(batch)
		if more || answered.requests > 0 { // what an answer names is durable: it goes in the same write
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
		p.sent(queued, answered)
	}
}

// sent tells of answers that were written.
func (p *Peer) sent(bytes int, answered held) {
	p.mu.Lock()
	p.unsent -= bytes
	p.mu.Unlock()
	p.free(answered)
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

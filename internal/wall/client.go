package wall

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Records is what the server does with the monitor's stream. All are called
// by Client.Run, one at a time and in order.
type Records interface {
	// Record applies one journal record: its line is not kept by the caller.
	Record(seq uint64, line []byte) error
	// Policy voids whatever rights and actions were asked for before.
	Policy(digest string)
	// Draining says whether anything new is taken from now on.
	Draining(on bool)
}

// Client is the server's end of the stream.
type Client struct {
	stream io.ReadWriter
	in     *bufio.Reader

	follows chan struct{} // closed once Run has asked for the journal: no request goes before that

	out     sync.Mutex // guards what follows
	written sync.Cond  // of out: some of frames went out, or nothing more will
	frames  []byte     // to be written by whoever is writing
	spare   []byte
	writing bool
	broken  error // why nothing more can be written

	mu      sync.Mutex // guards what follows
	next    uint64
	waiting map[uint64]chan []byte
	early   []early // answers that name records not applied yet, in the order they came
	applied uint64
	err     error // why the stream ended
}

type early struct {
	id, seq uint64
	outcome []byte // as JSON: who waits for it reads it
}

// Dial greets the monitor. Until Run is called nothing else is read.
func Dial(stream io.ReadWriter) (*Client, *Greeting, error) {
	c := &Client{stream: stream, in: bufio.NewReaderSize(stream, 256<<10), waiting: map[uint64]chan []byte{}, follows: make(chan struct{})}
	c.written.L = &c.out
	if err := c.send(&Request{Kind: Hello, Version: Version}); err != nil {
		return nil, nil, fmt.Errorf("cannot greet the monitor: %w", err)
	}
	frame, err := readFrame(c.in, MaxFrame)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the monitor's greeting: %w", err)
	}
	g := &Greeting{}
	if Kind(frame[0]) != GreetingKind || json.Unmarshal(frame[1:], g) != nil {
		return nil, nil, broken("no greeting from the monitor")
	}
	if g.Version != Version {
		return nil, nil, fmt.Errorf("the monitor speaks version %d of the wall, this server version %d: install programs of one release", g.Version, Version)
	}
	return c, g, nil
}

// maxQueued is how many bytes wait for whoever is writing; whoever else sends
// waits for room. The monitor reads no more than it has memory for.
const maxQueued = 4 << 20

// send writes a request, with those of others that come meanwhile: one of the
// callers writes for all. What it cannot write is told by the end of Run.
func (c *Client) send(r *Request) error {
	frame, err := r.Encode()
	if err != nil {
		return err
	}
	c.out.Lock()
	defer c.out.Unlock()
	for c.writing && len(c.frames) > maxQueued && c.broken == nil {
		c.written.Wait()
	}
	c.frames = append(c.frames, frame...)
	if c.writing {
		return nil
	}
	c.writing = true
	for len(c.frames) > 0 && err == nil {
		batch := c.frames
		c.frames = c.spare[:0]
		c.written.Broadcast()
		c.out.Unlock()
		_, err = c.stream.Write(batch)
		c.out.Lock()
		if c.spare = batch; cap(batch) > maxQueued {
			c.spare = nil
		}
	}
	c.writing = false
	if err != nil {
		c.broken = err
		c.written.Broadcast()
	}
	return err
}

// Run asks for the journal from a sequence number on and serves the stream
// until it ends. It is called once; requests wait until it runs.
func (c *Client) Run(from uint64, records Records) error {
	c.mu.Lock()
	c.applied = from - 1
	c.mu.Unlock()
	err := c.send(&Request{Kind: Follow, From: from})
	close(c.follows)
	for err == nil {
		var frame []byte
		if frame, err = readFrame(c.in, MaxFrame); err == nil {
			err = c.receive(frame, records)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = fmt.Errorf("the monitor is gone: %w", err)
	for id, ch := range c.waiting {
		close(ch)
		delete(c.waiting, id)
	}
	return err
}

func (c *Client) receive(frame []byte, records Records) error {
	body := frame[1:]
	switch kind := Kind(frame[0]); {
	case kind == RecordKind && len(body) >= 8:
		seq := binary.LittleEndian.Uint64(body)
		if err := records.Record(seq, body[8:]); err != nil {
			return fmt.Errorf("cannot apply record %d: %w", seq, err)
		}
		c.advance(seq)
		return nil
	case kind == AnswerKind && len(body) >= 16:
		c.answer(early{id: binary.LittleEndian.Uint64(body), seq: binary.LittleEndian.Uint64(body[8:]), outcome: body[16:]})
		return nil
	case kind == PolicyKind:
		records.Policy(string(body))
		return nil
	case kind == DrainingKind && len(body) == 1:
		records.Draining(body[0] == 1)
		return nil
	}
	return broken("a message of kind %d from the monitor", frame[0])
}

// advance gives the answers that waited for records up to seq.
func (c *Client) advance(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied = seq
	kept := c.early[:0]
	for _, a := range c.early {
		if a.seq <= seq {
			c.deliver(a)
		} else {
			kept = append(kept, a)
		}
	}
	c.early = kept
}

func (c *Client) answer(a early) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.seq > c.applied {
		c.early = append(c.early, a)
		return
	}
	c.deliver(a)
}

// deliver is called with mu held.
func (c *Client) deliver(a early) {
	if ch, ok := c.waiting[a.id]; ok {
		delete(c.waiting, a.id)
		ch <- a.outcome
	}
}

// Do sends a request and waits for its outcome. The error is the wall's own:
// a refusal stands in the outcome. When it is not nil, whether the request was
// accepted is not known.
func (c *Client) Do(ctx context.Context, r Request) (Outcome, error) {
	select {
	case <-c.follows:
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
	ch := make(chan []byte, 1)
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return Outcome{}, c.err
	}
	c.next++
	r.ID = c.next
	c.waiting[r.ID] = ch
	c.mu.Unlock()
	if err := c.send(&r); err != nil {
		return Outcome{}, err
	}
	select {
	case text, ok := <-ch:
		if !ok {
			c.mu.Lock()
			defer c.mu.Unlock()
			return Outcome{}, c.err
		}
		var outcome Outcome
		if err := json.Unmarshal(text, &outcome); err != nil {
			return Outcome{}, broken("an answer that is not JSON: %v", err)
		}
		return outcome, nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, r.ID)
		c.mu.Unlock()
		return Outcome{}, ctx.Err()
	}
}

package warden

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"deputy/internal/monitor/confine"
	"deputy/internal/wall"
)

// There is one server at a time. It hears nothing of callers before it has said who it
// is and is proved to be confined, and one that breaks the protocol is killed. Whoever
// connects meanwhile waits, and is refused by nobody.

const (
	serverPauseMin = 20 * time.Millisecond // before a dead server is started again
	serverPauseMax = 5 * time.Second
	serverWellFor  = time.Second     // a server that lived so long starts again at once
	serverLastFor  = 2 * time.Second // how long it may take to end, once it is to
)

// errRenewed says that a server ended because it was to.
var errRenewed = errors.New("what it was told when it began has changed")

// errRetired says that a server ended because another monitor is to start the next.
var errRetired = errors.New("the monitor makes way for its successor")

// keep starts the server, and starts it again when it dies, until ctx
// ends or the server is retired. It runs beside the loop.
func (w *Warden) keep(ctx context.Context) {
	pause := serverPauseMin
	for ctx.Err() == nil {
		began := time.Now()
		err := w.serve(ctx)
		if ctx.Err() != nil || errors.Is(err, errRetired) {
			return
		}
		if time.Since(began) > serverWellFor {
			pause = serverPauseMin
		}
		if errors.Is(err, errRenewed) {
			w.o.Log.Printf("the server is started again: %v", err)
			continue
		}
		w.o.Log.Printf("the server is gone (%v); it is started again in %v, tasks go on", err, pause)
		select {
		case <-ctx.Done():
		case <-w.retire:
			return
		case <-time.After(pause):
		}
		pause = min(pause*2, serverPauseMax)
	}
}

// serve lives as long as one server does.
func (w *Warden) serve(ctx context.Context) error {
	greeting, plan, err := w.prepare()
	if err != nil {
		return err
	}
	program, stream, door, err := w.start(plan)
	if err != nil {
		return err
	}
	defer stream.Close()
	defer door.Close()
	dead := make(chan error, 1)
	go func() { dead <- exitOf(program) }()
	talk := make(chan error, 1)
	prove := func() error {
		if plan == nil {
			return nil
		}
		return confine.Prove(program.Pid, *plan)
	}
	go func() { talk <- w.talk(stream, door, greeting, prove) }()

	select {
	case err = <-talk: // it broke the protocol, or closed the stream
		program.Kill()
		if gone := <-dead; errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			err = gone
		}
		return err
	case err = <-dead:
	case <-w.renew:
		w.reception.Retire()
		await(program, dead)
		err = errRenewed
	case <-w.retire:
		w.reception.Retire()
		await(program, dead)
		err = errRetired
	case <-ctx.Done():
		endServer(program, stream)
		err = await(program, dead)
	}
	stream.Close()
	<-talk
	return err
}

// await waits for a server that is to end, for a while.
func await(program *os.Process, dead <-chan error) error {
	select {
	case err := <-dead:
		return err
	case <-time.After(serverLastFor):
		program.Kill()
		return <-dead
	}
}

func exitOf(p *os.Process) error {
	state, err := p.Wait()
	if err != nil {
		return err
	}
	return deathOf(state)
}

// prepare says what the next server is told, and what it may.
func (w *Warden) prepare() (g wall.Greeting, p *confine.Plan, err error) {
	served := w.o.Loop.Do(func() {
		if w.user.Word != "" {
			if why := w.o.Lost(w.user.Word, uint32(w.user.UID)); why != "" {
				err = fmt.Errorf("cannot start the server as the user that it was declared to have: %s; deputy has to be restarted after that", why)
				return
			}
		}
		now := w.o.Now()
		g = w.greeting(now)
		p = w.plan(now.Set, &g)
		w.greeted, w.planned, w.short = g, p, now.Short
		select {
		case <-w.renew: // it is told all of it now
		default:
		}
	})
	if !served { // nobody makes one any more
		return wall.Greeting{}, nil, errors.New("the monitor ends")
	}
	return g, p, err
}

// talk greets the server, has it proved that it is confined, then takes its
// requests until it is gone or breaks the protocol.
func (w *Warden) talk(stream io.ReadWriteCloser, door *wall.Door, g wall.Greeting, prove func() error) error {
	peer := wall.NewPeer(stream)
	g.Last = w.journal.Durable()
	from, err := peer.Greet(g)
	if err == nil {
		err = prove()
	}
	if err != nil {
		return err
	}
	reader, err := w.journal.ReadFrom(from)
	if err != nil {
		return fmt.Errorf("cannot stream the journal: %w", err)
	}
	defer reader.Close()
	writing := make(chan error, 1)
	go func() { writing <- peer.Write(reader) }()
	w.o.Loop.Post(func() {
		w.peer = peer
		now := w.o.Now() // since the greeting was made it may have changed
		if g.Policy != now.Set.Digest {
			peer.Policy(now.Set.Digest)
		}
		peer.Advanced()
		peer.Draining(now.Draining)
	})
	if err = w.reception.Open(door); err == nil {
		w.o.Loop.Post(w.o.Serving)
		err = w.hearAll(peer)
	}
	w.reception.Shut()
	peer.Close()
	stream.Close()
	<-writing
	w.o.Loop.Post(func() {
		if w.peer == peer {
			w.peer = nil
		}
	})
	return err
}

// hearAll takes a server's requests until it is gone or breaks the protocol.
func (w *Warden) hearAll(peer *wall.Peer) error {
	for {
		r, err := peer.Receive()
		if err != nil {
			return err
		}
		if r.Kind.Access() == wall.Opening {
			return fmt.Errorf("%w: a second greeting", wall.ErrBroken)
		}
		w.o.Hear(peer, r)
	}
}

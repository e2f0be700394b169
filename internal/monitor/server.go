package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"deputy"
	"deputy/internal/wall"
)

const (
	serverPauseMin = 20 * time.Millisecond // before a dead server is started again
	serverPauseMax = 5 * time.Second
	serverWellFor  = time.Second     // a server that lived so long starts again at once
	serverLastFor  = 2 * time.Second // how long it may take to end, once it is to
)

// errRenewed says that a server ended because it was to.
var errRenewed = errors.New("other front doors are to be opened")

// keepServer starts the server, and starts it again when it dies, until ctx
// ends. It runs beside the loop.
func (m *Monitor) keepServer(ctx context.Context) {
	pause := serverPauseMin
	for ctx.Err() == nil {
		began := time.Now()
		err := m.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > serverWellFor {
			pause = serverPauseMin
		}
		if errors.Is(err, errRenewed) {
			m.log.Printf("the server is started again: %v", err)
			continue
		}
		m.log.Printf("the server is gone (%v); it is started again in %v, tasks go on", err, pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(pause*2, serverPauseMax)
	}
}

// serve lives as long as one server does.
func (m *Monitor) serve(ctx context.Context) error {
	program, stream, door, err := m.startServer()
	if err != nil {
		return err
	}
	defer stream.Close()
	defer door.Close()
	dead := make(chan error, 1)
	go func() { dead <- exitOf(program) }()
	talk := make(chan error, 1)
	go func() { talk <- m.talk(stream, door) }()

	select {
	case err = <-talk: // it broke the protocol, or closed the stream
		program.Kill()
		if gone := <-dead; errors.Is(err, io.EOF) {
			err = gone
		}
		return err
	case err = <-dead:
	case <-m.renew:
		m.reception.retire()
		await(program, dead)
		err = errRenewed
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
	return errors.New(state.String())
}

// talk greets the server, then takes its requests until it is gone or breaks
// the protocol.
func (m *Monitor) talk(stream io.ReadWriteCloser, door *wall.Door) error {
	peer := wall.NewPeer(stream)
	greeting := make(chan wall.Greeting, 1)
	m.post(func() {
		m.greeted = m.greeting()
		select {
		case <-m.renew: // it is told all of it now
		default:
		}
		greeting <- m.greeted
	})
	var from uint64
	var err error
	select {
	case g := <-greeting:
		if from, err = peer.Greet(g); err != nil {
			return err
		}
	case <-m.over: // nobody makes one any more
		return errors.New("the monitor ends")
	}
	reader, err := m.journal.ReadFrom(from)
	if err != nil {
		return fmt.Errorf("cannot stream the journal: %w", err)
	}
	defer reader.Close()
	writing := make(chan error, 1)
	go func() { writing <- peer.Write(reader) }()
	m.post(func() { m.peer = peer; peer.Advanced() })
	if err = m.reception.open(door); err == nil {
		err = m.hear(peer)
	}
	m.reception.shut()
	peer.Close()
	stream.Close()
	<-writing
	m.post(func() {
		if m.peer == peer {
			m.peer = nil
		}
	})
	return err
}

func (m *Monitor) hear(peer *wall.Peer) error {
	for {
		r, err := peer.Receive()
		if err != nil {
			return err
		}
		if r.Kind == wall.Hello || r.Kind == wall.Follow {
			return fmt.Errorf("%w: a second greeting", wall.ErrBroken)
		}
		m.post(func() { m.request(peer, r) })
	}
}

func (m *Monitor) greeting() wall.Greeting {
	p := m.o.Paths
	g := wall.Greeting{
		Release: deputy.Version, Name: m.set.Config.Server.Name,
		TasksDir: p.tasks(), HistoryDir: p.History, StateDir: p.State, ConfigDir: p.Config,
		Proof: m.host.Proof(), Weakness: m.host.Weakness(), CgroupTasks: m.host.TasksPath(),
		Policy: m.set.Digest, Last: m.journal.Durable(), Connections: m.set.Config.Default.Connections,
	}
	if len(m.keys) > 0 { // without a key nobody could ask there
		g.HTTP, g.HTTPS = m.set.Config.Listen.HTTP, m.set.Config.Listen.HTTPS
		g.Line = slices.DeleteFunc(slices.Clone(m.set.Config.Listen.Line), filepath.IsAbs)
		g.Certificate, g.TLSKey, g.ClientCA = m.set.Config.TLS.Certificate, m.set.Config.TLS.Key, m.set.Config.TLS.ClientCA
	}
	for _, module := range m.set.Modules {
		for _, action := range module.Actions {
			g.MaxBody = max(g.MaxBody, action.MaxBody)
		}
	}
	return g
}

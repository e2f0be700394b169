package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"deputy"
	"deputy/internal/monitor/confine"
	"deputy/internal/wall"
)

const (
	serverPauseMin = 20 * time.Millisecond // before a dead server is started again
	serverPauseMax = 5 * time.Second
	serverWellFor  = time.Second     // a server that lived so long starts again at once
	serverLastFor  = 2 * time.Second // how long it may take to end, once it is to
	recentBytes    = 64 << 20        // of the journal that a server reads which has no disk for its history
)

// errRenewed says that a server ended because it was to.
var errRenewed = errors.New("what it was told when it began has changed")

// errRetired says that a server ended because another monitor is to start the next.
var errRetired = errors.New("the monitor makes way for its successor")

// keepServer starts the server, and starts it again when it dies, until ctx
// ends or the server is retired. It runs beside the loop.
func (m *Monitor) keepServer(ctx context.Context) {
	pause := serverPauseMin
	for ctx.Err() == nil {
		began := time.Now()
		err := m.serve(ctx)
		if ctx.Err() != nil || errors.Is(err, errRetired) {
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
		case <-m.retire:
			return
		case <-time.After(pause):
		}
		pause = min(pause*2, serverPauseMax)
	}
}

// serve lives as long as one server does.
func (m *Monitor) serve(ctx context.Context) error {
	greeting, plan, err := m.prepareServer()
	if err != nil {
		return err
	}
	program, stream, door, err := m.startServer(plan)
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
	go func() { talk <- m.talk(stream, door, greeting, prove) }()

	select {
	case err = <-talk: // it broke the protocol, or closed the stream
		program.Kill()
		if gone := <-dead; errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			err = gone
		}
		return err
	case err = <-dead:
	case <-m.renew:
		m.reception.Retire()
		await(program, dead)
		err = errRenewed
	case <-m.retire:
		m.reception.Retire()
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

// prepareServer says what the next server is told, and what it may.
func (m *Monitor) prepareServer() (g wall.Greeting, p *confine.Plan, err error) {
	ready := make(chan struct{})
	m.post(func() {
		defer close(ready)
		if m.serverUser != "" {
			if why := m.users.Lost(m.serverUser, uint32(m.serverUID)); why != "" {
				err = fmt.Errorf("cannot start the server as the user that it was declared to have: %s; deputy has to be restarted after that", why)
				return
			}
		}
		g = m.greeting()
		p = m.plan(&g)
		m.greeted, m.planned = g, p
		m.short = m.ledger.Lacks() > 0
		select {
		case <-m.renew: // it is told all of it now
		default:
		}
	})
	select {
	case <-ready:
		return g, p, err
	case <-m.loop.Over(): // nobody makes one any more
		return wall.Greeting{}, nil, errors.New("the monitor ends")
	}
}

// talk greets the server, has it proved that it is confined, then takes its
// requests until it is gone or breaks the protocol.
func (m *Monitor) talk(stream io.ReadWriteCloser, door *wall.Door, g wall.Greeting, prove func() error) error {
	peer := wall.NewPeer(stream)
	g.Last = m.journal.Durable()
	from, err := peer.Greet(g)
	if err == nil {
		err = prove()
	}
	if err != nil {
		return err
	}
	reader, err := m.journal.ReadFrom(from)
	if err != nil {
		return fmt.Errorf("cannot stream the journal: %w", err)
	}
	defer reader.Close()
	writing := make(chan error, 1)
	go func() { writing <- peer.Write(reader) }()
	m.post(func() {
		m.peer = peer
		if g.Policy != m.set.Digest { // loaded since the greeting was made
			peer.Policy(m.set.Digest)
		}
		peer.Advanced()
		peer.Draining(m.state.Drains) // it may have changed since the greeting
	})
	if err = m.reception.Open(door); err == nil {
		m.post(m.tellServing)
		err = m.hearAll(peer)
	}
	m.reception.Shut()
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

// hearAll takes a server's requests until it is gone or breaks the protocol.
func (m *Monitor) hearAll(peer *wall.Peer) error {
	for {
		r, err := peer.Receive()
		if err != nil {
			return err
		}
		if r.Kind == wall.Hello || r.Kind == wall.Follow {
			return fmt.Errorf("%w: a second greeting", wall.ErrBroken)
		}
		m.hear(peer, r)
	}
}

// recently gives the first record of the oldest segment of those that are within
// recentBytes, or of the newest.
func (m *Monitor) recently() (first uint64) {
	var sum int64
	for _, s := range slices.Backward(m.journal.Segments()) {
		if sum += s.Bytes; first != 0 && sum > recentBytes {
			break
		}
		first = s.First
	}
	return first
}

func (m *Monitor) greeting() wall.Greeting {
	p := m.o.Paths
	g := wall.Greeting{
		Release: deputy.Version, Name: m.set.Config.Server.Name,
		TasksDir: p.Tasks(), HistoryDir: p.History, StateDir: p.State, ConfigDir: p.Config,
		Proof: m.host.Proof(), Weakness: m.weakness(), CgroupTasks: m.host.TasksPath(),
		Policy: m.set.Digest, Draining: m.state.Drains, Last: m.journal.Durable(), Recent: m.recently(), Connections: m.set.Config.Default.Connections,
		Started: m.since.String(),
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

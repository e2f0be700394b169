//go:build linux

// Package monitortest is the monitor's end of the wall for the tests of the
// server: real sockets, the real protocol, a journal in memory, and decisions
// that a test makes. It starts no process.
package monitortest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/server"
	"deputy/internal/wall"
)

// Monitor is what a server under test is connected to.
type Monitor struct {
	Greeting wall.Greeting
	// Decide answers a request of a connection of uid. It may call Record.
	Decide func(r *wall.Request, uid uint32) wall.Outcome
	Hangs  atomic.Bool // it does not say that its loop goes round
	// Waits says what tasks wait for; nil: none does.
	Waits func(ids []string) map[string]*deputy.Waiting

	t      testing.TB
	peer   *wall.Peer
	stream *os.File
	door   *wall.Door

	number atomic.Uint64
	tasks  atomic.Uint64

	mu    sync.Mutex
	lines [][]byte
	uids  map[uint64]uint32
	kept  []int // our duplicates of the connections
	prev  string
}

// New makes a monitor with an empty journal and folders of its own. Serve
// starts it.
func New(t testing.TB) *Monitor {
	dir := t.TempDir()
	m := &Monitor{t: t, uids: map[uint64]uint32{}, Greeting: wall.Greeting{
		Release: deputy.Version, TasksDir: filepath.Join(dir, "tasks"), HistoryDir: dir,
		StateDir: dir, ConfigDir: "/etc/deputy", Proof: "cgroup", Policy: "d1gest",
	}}
	if err := os.Mkdir(m.Greeting.TasksDir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.forget)
	return m
}

// Connect makes the sockets of the wall and answers the server that gets the
// other ends. notify may be nil.
func (m *Monitor) Connect(notify *os.File) server.Sockets {
	m.t.Helper()
	ours, theirs := m.pair(unix.SOCK_STREAM)
	ourDoor, theirDoor := m.pair(unix.SOCK_SEQPACKET)
	door, err := wall.NewDoor(ourDoor)
	if err != nil {
		m.t.Fatal(err)
	}
	if notify == nil {
		_, notify = m.pair(unix.SOCK_DGRAM)
	}
	peer := wall.NewPeer(ours)
	m.mu.Lock()
	m.stream, m.door, m.peer = ours, door, peer
	m.mu.Unlock()
	go m.talk(peer)
	return server.Sockets{Stream: theirs, Door: theirDoor, Notify: notify}
}

func (m *Monitor) talk(peer *wall.Peer) {
	m.mu.Lock()
	g := m.Greeting
	g.Last = uint64(len(m.lines))
	m.mu.Unlock()
	from, err := peer.Greet(g)
	if err != nil {
		return
	}
	go peer.Write(&stream{m, int(from) - 1})
	for {
		r, err := peer.Receive()
		if err == nil {
			err = r.Unpack()
		}
		if err != nil {
			return
		}
		go m.answer(peer, r)
	}
}

func (m *Monitor) answer(peer *wall.Peer, r *wall.Request) {
	if r.Kind == wall.Ping {
		if !m.Hangs.Load() {
			peer.Answer(r, 0, wall.Outcome{Beat: &wall.Beat{LogLost: 2}})
		}
		return
	}
	if r.Kind == wall.Waits {
		var o wall.Outcome
		if m.Waits != nil {
			o.Waits = m.Waits(r.Tasks)
		}
		peer.Answer(r, 0, o)
		return
	}
	m.mu.Lock()
	uid, known := m.uids[r.Connection]
	m.mu.Unlock()
	outcome := wall.Outcome{Error: deputy.Refuse(deputy.NotAuthenticated, "this connection is not known")}
	if known {
		outcome = m.Decide(r, uid)
	}
	m.mu.Lock()
	seq := uint64(len(m.lines))
	m.mu.Unlock()
	peer.Answer(r, seq, outcome)
}

// stream is the journal on its way to one server.
type stream struct {
	m    *Monitor
	next int // of m.lines
}

// Next streams the journal; see wall.Source.
func (s *stream) Next(limit int) ([][]byte, uint64, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	lines := s.m.lines[s.next:min(s.next+limit, len(s.m.lines))]
	s.next += len(lines)
	return lines, uint64(s.next + 1), nil
}

// Record appends to the journal.
func (m *Monitor) Record(e deputy.Event) uint64 {
	m.mu.Lock()
	e.Seq, e.Prev, e.Time = uint64(len(m.lines)+1), m.prev, deputy.Time{Time: time.Now()}
	line, err := json.Marshal(e)
	if err != nil {
		m.t.Error(err)
	}
	m.prev = fmt.Sprintf("%x", sha256.Sum256(line))
	m.lines = append(m.lines, line)
	peer := m.peer
	m.mu.Unlock()
	if peer != nil {
		peer.Advanced()
	}
	return e.Seq
}

// Policy puts another policy in force.
func (m *Monitor) Policy(digest string) { m.peer.Policy(digest) }

// Draining tells the server whether anything new is taken.
func (m *Monitor) Draining(on bool) { m.peer.Draining(on) }

// Dial connects a client of uid, as the monitor's reception would: it keeps
// a duplicate of the server's end.
func (m *Monitor) Dial(uid uint32) net.Conn { return m.dial(wall.Connection{UID: uid}) }

// DialOver connects a client that has too many connections.
func (m *Monitor) DialOver(uid uint32) net.Conn { return m.dial(wall.Connection{UID: uid, Over: true}) }

// DialFull connects where all callers together have too many.
func (m *Monitor) DialFull(uid uint32) net.Conn { return m.dial(wall.Connection{UID: uid, Full: true}) }

func (m *Monitor) dial(c wall.Connection) net.Conn {
	ours, theirs := m.pair(unix.SOCK_STREAM)
	defer ours.Close()
	c.Number = m.number.Add(1)
	fd, err := unix.FcntlInt(theirs.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		m.t.Fatal(err)
	}
	theirs.Close()
	m.mu.Lock()
	m.uids[c.Number] = c.UID
	m.kept = append(m.kept, fd)
	m.mu.Unlock()
	if err := m.door.Send(c, fd); err != nil {
		m.t.Error(err)
	}
	conn, err := net.FileConn(ours)
	if err != nil {
		m.t.Fatal(err)
	}
	return conn
}

// Hangup ends the wall, as when the monitor dies.
func (m *Monitor) Hangup() {
	m.stream.Close()
	m.door.Close()
	m.peer.Close()
}

func (m *Monitor) forget() {
	if m.peer != nil {
		m.Hangup()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, fd := range m.kept {
		unix.Close(fd)
	}
	m.kept = nil
}

func (m *Monitor) pair(kind int) (ours, theirs *os.File) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
}

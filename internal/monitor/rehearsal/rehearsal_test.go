//go:build unix

// Package rehearsal plays whole lives of a monitor in one process: the loop, the
// ledger, admission and tasks as they are, between a fake host and a fake journal, in a
// bubble of testing/synctest where hours take milliseconds. Whatever the journal does to
// any record, and whenever the monitor dies: nothing is lost, nothing happens twice.
package rehearsal

import (
	"context"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/admission"
	"deputy/internal/monitor/birth"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/journal/fakejournal"
	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/look"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/process/fakehost"
	"deputy/internal/monitor/site"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/tasks"
	"deputy/internal/monitor/turns"
	"deputy/internal/monitor/userdb"
	"deputy/internal/monitor/vault"
)

// rules are what the monitor is told: by the policy that it begins with, and by one
// that a play may put in force later, which has other manifests.
type rules struct {
	users         *userdb.Database
	first, second *policy.Policy
}

// load makes the rules of the text of a manifest, in files as an administrator has them.
func load(t *testing.T, text string) *rules {
	t.Helper()
	r := &rules{users: userdb.Open(userdb.Options{})}
	one := func(text string) *policy.Policy {
		dir := t.TempDir()
		for _, d := range []string{"modules.d", "allow.d", "keys"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "modules.d", "m.toml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		eyes := look.NewPool(nil)
		defer eyes.Close()
		set, _, err := manifest.Load(manifest.Options{
			ConfigFile: filepath.Join(dir, "deputy.toml"), ModuleDirs: []string{filepath.Join(dir, "modules.d")}, AllowDir: filepath.Join(dir, "allow.d"),
			KeysDir: filepath.Join(dir, "keys"), Users: r.users, UID: uint32(os.Geteuid()), Socket: filepath.Join(dir, "socket"), Look: eyes,
		})
		if err != nil {
			t.Fatal(err)
		}
		r.users.Adopt(set.Words)
		return policy.New(set, policy.Options{SelfUID: uint32(os.Geteuid()), Users: r.users.View})
	}
	r.first, r.second = one(text), one(strings.ReplaceAll(text, `timeout = "10m"`, `timeout = "11m"`))
	return r
}

// machine is what outlives monitors: processes, the disk, and who asks.
type machine struct {
	t     *testing.T
	rules *rules
	world *fakehost.World
	disk  *fakejournal.Disk
	dir   string
	lines lines
	saw   func(state.Phase, state.Happening)

	clients sync.WaitGroup // that ask beside the play
	changed atomic.Bool    // the second rules are in force

	mu     sync.Mutex // guards what follows
	now    *life      // nil: no monitor lives
	next   chan struct{}
	deaths int
}

// lines are what the monitors have logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newMachine boots one in a bubble. dir is its own, and empty.
func newMachine(t *testing.T, r *rules, dir string, cast fakehost.Cast) *machine {
	m := &machine{t: t, rules: r, world: fakehost.NewWorld(cast), disk: &fakejournal.Disk{}, dir: dir, next: make(chan struct{}), saw: func(state.Phase, state.Happening) {}}
	m.disk.Crash = m.crash
	if err := os.MkdirAll(site.Under(dir, dir).Tasks(), 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

// life is one monitor's.
type life struct {
	loop      *loop.Loop
	state     *state.State
	ledger    *ledger.Ledger
	journal   *fakejournal.Journal
	host      *fakehost.Host
	tasks     *tasks.Tasks
	admission *admission.Admission
	turns     *turns.Turns
	dead      chan struct{} // closed: it was killed
	ended     chan struct{} // closed: nothing of it runs
}

// begin starts a monitor on what there is.
func (m *machine) begin() {
	l := &life{loop: loop.New(m.world.Clock()), state: state.New(), turns: turns.New(), dead: make(chan struct{}), ended: make(chan struct{})}
	logger := log.New(&m.lines, "", 0)
	inForce := func() *policy.Policy {
		if m.changed.Load() {
			return m.rules.second
		}
		return m.rules.first
	}
	l.ledger = ledger.New(ledger.Options{State: l.state, Loop: l.loop, Log: logger, Tell: l.noticed,
		Policy: func() (string, []deputy.PolicyFile) { return inForce().Set().Digest, nil }})
	l.journal = fakejournal.Open(m.disk, fakejournal.Options{Checkpoint: l.ledger.Checkpoint, Notify: func() { l.loop.Post(l.ledger.Synced) }})
	l.ledger.Use(l.journal)
	if err := l.journal.Replay(l.state.Apply); err != nil {
		m.t.Errorf("cannot replay the journal: %v", err)
	}
	host, err := fakehost.Open(m.world, process.Options{Instance: "i", Events: func(e process.Event) { l.loop.Post(func() { l.tasks.Heard(e) }) }})
	if err != nil {
		m.t.Fatal(err)
	}
	l.host = host
	who := callers.New(m.rules.users)
	paths := site.Under(m.dir, m.dir)
	safe := vault.New(l.loop, paths, os.Getegid())
	l.tasks = tasks.New(tasks.Options{
		State: l.state, Ledger: l.ledger, Loop: l.loop, Log: logger, Callers: who, Users: m.rules.users, Policy: inForce, Paths: paths,
		Host: host, Births: births{host, paths}, Outputs: outputs{l.loop}, Descriptors: nobody{},
		Hold: func() bool { return false }, Quiet: func() {}, Scarce: func() {}, Done: func(keeper.Exit) {},
		Left: func(*state.Task, *deputy.Event) func() { return func() {} }, Stepped: m.saw,
	})
	l.admission = admission.New(admission.Options{
		State: l.state, Ledger: l.ledger, Loop: l.loop, Log: logger, Tasks: l.tasks, Vault: safe, Turns: l.turns, Callers: who, Users: m.rules.users,
		Policy: inForce, Seal: func(text string) string { return "sealed " + text },
		Ending: func() bool { return false }, Full: func() string { return "" }, MaxTasks: func() int { return 1000 },
	})
	l.loop.StartWorkers()
	l.turns.Start()
	m.mu.Lock()
	m.now = l
	close(m.next)
	m.next = make(chan struct{})
	m.mu.Unlock()
	go l.run(m)
}

func (l *life) run(m *machine) {
	defer close(l.ended)
	clock := m.world.Clock()
	l.ledger.Record(&deputy.Event{Type: deputy.MonitorStart, Boot: clock.Boot, BootNS: clock.Now()}, ledger.After{})
	l.tasks.TakeUp(tasks.Found{SameKeeper: true})
	_ = l.journal.Flush() // of one that fails the ledger tells
	l.ledger.Synced()
	for _, x := range m.world.Reaped() {
		l.tasks.Exited(keeper.Exit{PID: x.PID, Cgroup: x.Cgroup, Status: x.Status})
	}
	l.tasks.Resume()
	l.loop.Run()
}

// noticed does for tasks what the monitor does.
func (l *life) noticed(n ledger.Notice) {
	if n == ledger.Writable {
		l.tasks.BeginAll()
	}
}

// crash kills the monitor; the keeper starts the next one in a moment.
func (m *machine) crash() {
	l := m.bury()
	if l == nil {
		return
	}
	time.Sleep(10 * time.Millisecond)
	m.begin()
}

// bury has the monitor that lives be dead.
func (m *machine) bury() *life {
	m.mu.Lock()
	l := m.now
	m.now = nil
	m.deaths++
	m.mu.Unlock()
	if l == nil {
		return nil
	}
	l.journal.Die()
	l.host.Crash()
	l.loop.End()
	close(l.dead)
	<-l.ended
	l.turns.Close()
	_ = l.host.Close(true)
	l.journal.Close()
	return l
}

// leaves are those that there are, when no monitor lives.
func (m *machine) leaves() []string {
	h, err := fakehost.Open(m.world, process.Options{Instance: "i", Events: func(process.Event) {}})
	if err != nil {
		m.t.Fatal(err)
	}
	defer h.Close(true)
	leaves, err := h.Leaves()
	if err != nil {
		m.t.Error(err)
	}
	return leaves
}

// alive gives the monitor that lives, and waits for one.
func (m *machine) alive() *life {
	for {
		m.mu.Lock()
		l, next := m.now, m.next
		m.mu.Unlock()
		if l != nil {
			return l
		}
		<-next
	}
}

// births are the host's: what comes before a birth is not played here, but for the
// directory of the task, by which its leaf is known for one of this installation.
type births struct {
	host  *fakehost.Host
	paths site.Paths
}

func (b births) Start(ctx context.Context, one birth.Birth) (process.Attempt, error) {
	if err := os.MkdirAll(b.paths.Task(one.Task), 0o755); err != nil {
		return process.Attempt{}, err
	}
	return b.host.Start(ctx, process.Spec{Leaf: one.Leaf, Argv: []string{one.Action.Name}, Linger: one.Linger})
}

func (births) InTurn(_ string, do func()) { do() }

// outputs are empty.
type outputs struct{ loop *loop.Loop }

func (outputs) Add(string, int64) error { return nil }
func (outputs) Beside(do func())        { do() }
func (outputs) Finish(_ string, _ int64, done func(stdout, stderr deputy.Output, err error)) {
	done(deputy.Output{}, deputy.Output{}, nil)
}

// nobody keeps descriptors.
type nobody struct{}

func (nobody) Keep(string, bool)  {}
func (nobody) Forget(string)      {}
func (nobody) ForgetStale(string) {}

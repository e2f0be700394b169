package space

import (
	"context"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/manifest"
	"deputy/internal/output"
	"deputy/internal/uuid7"
)

// loop does at once what it is asked, and what is posted when it is asked to.
type loop struct{ posted []func() }

func (l *loop) Post(do func())    { l.posted = append(l.posted, do) }
func (l *loop) Do(do func()) bool { do(); return true }

func (l *loop) run() {
	for _, do := range l.posted {
		do()
	}
	l.posted = nil
}

// none is a journal that takes nothing.
type none struct{}

func (none) Bytes() int64                { return 0 }
func (none) Short() error                { return nil }
func (none) Segments() []journal.Segment { return nil }

type bench struct {
	*Keeper
	t       *testing.T
	tasks   string
	loop    *loop
	live    map[string]bool
	removed []string
}

func newBench(t *testing.T, tasks string) *bench {
	t.Helper()
	b := &bench{t: t, tasks: tasks, loop: new(loop), live: map[string]bool{}}
	b.Keeper = New(Options{
		Tasks: tasks, Log: log.New(io.Discard, "", 0), Loop: b.loop,
		Live: func() map[string]bool { return b.live }, Lacks: func() int64 { return 0 },
		Removed: func(ids []string) { b.removed = append(b.removed, ids...) }, Retire: func(int) {},
	})
	capper, err := output.NewCapper(func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	b.Use(none{}, capper)
	b.Adopt(&manifest.Storage{MaxUse: manifest.Amount{Percent: 100}, KeepFree: manifest.Amount{Bytes: 1}})
	return b
}

// task leaves the output of one that has ended.
func (b *bench) task(bytes int) (id string) {
	b.t.Helper()
	id = uuid7.New()
	dir := filepath.Join(b.tasks, id)
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for name, size := range map[string]int{output.Stdout: bytes, output.Stderr: 0} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", size)), 0o640); err != nil {
			b.t.Fatal(err)
		}
	}
	return id
}

func (b *bench) lookAgain() {
	b.expired = time.Time{}
	b.look()
	b.loop.run()
}

// Of whoever has the most the oldest output goes first, and none of a task that lives.
func TestTheOldestOutputOfWhoHasTheMostGoesFirst(t *testing.T) {
	b := newBench(t, t.TempDir())
	var much []string
	for range 3 {
		id := b.task(300 << 10)
		much = append(much, id)
		b.Shelve(Leavings{ID: id, Account: "uid:1", NoStderr: true})
	}
	slices.Sort(much) // those of one ms are of the same age: their ids decide
	little := b.task(100 << 10)
	b.Shelve(Leavings{ID: little, Account: "uid:2", NoStderr: true})
	lives := b.task(900 << 10)
	b.live[lives] = true

	b.Adopt(&manifest.Storage{MaxUse: manifest.Amount{Bytes: 800 << 10}, KeepFree: manifest.Amount{Bytes: 1}})
	b.lookAgain()
	if !slices.Equal(b.removed, much[:1]) {
		t.Errorf("these are gone: %v; not the first of %v", b.removed, much)
	}
	b.Adopt(&manifest.Storage{MaxUse: manifest.Amount{Bytes: 1}, KeepFree: manifest.Amount{Bytes: 1}})
	b.lookAgain()
	slices.Sort(b.removed)
	much = append(much, little)
	slices.Sort(much)
	if !slices.Equal(b.removed, much) {
		t.Errorf("these are gone: %v", b.removed)
	}
	if _, err := os.Stat(filepath.Join(b.tasks, lives)); err != nil {
		t.Error(err)
	}
}

// What a keeper shelved, and until when it is kept, the next one finds.
func TestWhatIsKeptIsFoundAgain(t *testing.T) {
	dir := t.TempDir()
	before := newBench(t, dir)
	short, long := before.task(10), before.task(10)
	before.Shelve(Leavings{ID: short, Account: "uid:1", Keep: time.Nanosecond, NoStderr: true})
	before.Shelve(Leavings{ID: long, Account: "uid:2", Keep: time.Hour, NoStderr: true})
	lives := before.task(10)

	b := newBench(t, dir)
	b.live[lives] = true
	b.find()
	if got, want := b.shelf.total(), before.shelf.total(); got.inodes < want.inodes {
		t.Errorf("it finds %v, and %v was shelved", got, want)
	}
	b.lookAgain()
	if !slices.Equal(b.removed, []string{short}) {
		t.Errorf("these are gone: %v, not %s alone", b.removed, short)
	}
	if who := deputy.Caller("uid:2"); len(b.shelf.owners[who].kept) != 1 {
		t.Errorf("%s is not charged", who)
	}
}

// With no room left the loop is told why, and told when there is room again.
func TestTheLoopKnowsThatThereIsNoRoom(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.tell(room{disk: disk{total: 1 << 40, free: 1 << 20}})
	b.loop.run()
	if !strings.Contains(b.Full(), "only 1 MiB left") {
		t.Errorf("it says %q", b.Full())
	}
	b.tell(room{disk: disk{total: 1 << 40, free: 1 << 39}})
	b.loop.run()
	if b.Full() != "" {
		t.Errorf("it still says %q", b.Full())
	}
}

// A look that was asked for happens, however many ask, and the keeper ends with its
// context.
func TestTheKeeperEndsWithItsContext(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.Look()
	b.Look()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for b.wait(ctx) { // a kick and the end are both ready
	}
}

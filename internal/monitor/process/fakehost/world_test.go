package fakehost_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"deputy"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/process/fakehost"
)

// A fake is used where the real ones are: by the same methods, beside Pidfd and Orphan, which
// Windows lacks.
type host interface {
	Start(context.Context, process.Spec) (process.Attempt, error)
	Adopt(process.Attempt) error
	Leaves() ([]string, error)
	FindFirst(leaf string) (process.Attempt, bool)
	NeverBorn(leaf string) bool
	Newborn(leaf string) bool
	Ours(leaf string) bool
	Hurry(leaf string) bool
	Signal(leaf string, sig syscall.Signal) error
	Kill(leaf string) (int, error)
	Survivors(leaf string) []deputy.Survivor
	Release(leaf string)
	Proof() string
	Weakness() string
	TasksPath() string
	ForeignExit(pid int, path string, status fakehost.Status) bool
	Close(leaveTasks bool) error
}

var (
	_ host = (*process.Host)(nil)
	_ host = (*fakehost.Host)(nil)
)

// monitor is a Host, and what it was told, one text each.
type monitor struct {
	*fakehost.Host
	t *testing.T

	mu   sync.Mutex // guards told
	told []string
}

func open(t *testing.T, w *fakehost.World) *monitor {
	t.Helper()
	m := &monitor{t: t}
	h, err := fakehost.Open(w, process.Options{Instance: "one", Events: func(e process.Event) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.told = append(m.told, text(e))
	}})
	if err != nil {
		t.Fatal(err)
	}
	m.Host = h
	return m
}

func text(e process.Event) string {
	switch {
	case e.Kind == process.Empty:
		return "empty"
	case e.Exit.Code != nil:
		return fmt.Sprint("code ", *e.Exit.Code)
	case e.Exit.Unknown != "":
		return "unknown"
	}
	return e.Exit.Signal
}

// begin starts a tree as leaf x.1.
func (m *monitor) begin() (process.Attempt, error) {
	return m.Start(context.Background(), process.Spec{Leaf: "x.1", Argv: []string{"/x"}})
}

// start is begin of what can be born.
func (m *monitor) start() process.Attempt {
	m.t.Helper()
	a, err := m.begin()
	if err != nil {
		m.t.Fatal(err)
	}
	return a
}

// pass lets time pass, and all happen that does at its end.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// after lets time pass, and checks all that was told so far.
func (m *monitor) after(d time.Duration, want ...string) {
	m.t.Helper()
	pass(d)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(m.told, want) {
		m.t.Errorf("told was %q, want %q", m.told, want)
	}
}

func (m *monitor) close() {
	m.t.Helper()
	if err := m.Close(false); err != nil {
		m.t.Error(err)
	}
}

// in tests one tree in a bubble.
func in(t *testing.T, tree fakehost.Tree, test func(*fakehost.World, *monitor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := fakehost.NewWorld(func(process.Spec) fakehost.Tree { return tree })
		test(w, open(t, w))
	})
}

var stays = fakehost.Process{Lives: fakehost.Forever}

func TestEventsMayComeBeforeStartReturns(t *testing.T) {
	in(t, fakehost.Tree{Birth: fakehost.Birth{Returns: time.Second}}, func(_ *fakehost.World, m *monitor) {
		returned := make(chan error, 1)
		go func() { _, err := m.begin(); returned <- err }()
		m.after(time.Second-1, "empty", "code 0")
		if len(returned) > 0 {
			t.Error("Start had returned by then")
		}
		if err := <-returned; err != nil {
			t.Error(err)
		}
		m.close()
	})
}

func TestWhoDiesLaterDecidesTheOrder(t *testing.T) {
	slow := fakehost.Process{Lives: fakehost.Forever, Holds: time.Second}
	in(t, fakehost.Tree{First: stays, Others: []fakehost.Process{slow}}, func(_ *fakehost.World, m *monitor) {
		m.start()
		if killed, err := m.Kill("x.1"); killed != 2 || err != nil {
			t.Errorf("Kill: %d, %v", killed, err)
		}
		m.after(0, "SIGKILL")
		if left := m.Survivors("x.1"); len(left) != 1 || left[0].State != "D" {
			t.Errorf("there live %+v", left)
		}
		m.after(time.Second, "SIGKILL", "empty")
		m.close()
	})
	in(t, fakehost.Tree{First: slow, Others: []fakehost.Process{stays}}, func(_ *fakehost.World, m *monitor) {
		m.start()
		m.Kill("x.1")
		m.after(0)
		m.after(time.Second, "empty", "SIGKILL")
		m.close()
	})
}

func TestATreeObeysInItsOwnTime(t *testing.T) {
	obeys := fakehost.Process{Lives: fakehost.Forever, Obeys: time.Second, Last: &deputy.Exit{Code: new(3)}}
	in(t, fakehost.Tree{First: obeys, Others: []fakehost.Process{stays}}, func(_ *fakehost.World, m *monitor) {
		m.start()
		if err := m.Signal("x.1", syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		m.after(time.Second - 1)
		m.after(1, "empty", "code 3")
		m.close()
	})
}

func TestWhatNothingEndsHoldsUpAClose(t *testing.T) {
	in(t, fakehost.Tree{First: fakehost.Process{Lives: fakehost.Forever, Holds: fakehost.Forever}}, func(w *fakehost.World, m *monitor) {
		m.start()
		if err := m.Close(false); err == nil {
			t.Error("it closed, and something lives")
		}
		if left := w.Living("x.1"); len(left) != 1 {
			t.Errorf("there live %+v", left)
		}
	})
}

func TestANewbornMayBecomeItsProgramLater(t *testing.T) {
	late := fakehost.Birth{Exec: process.BornWithin + time.Second}
	in(t, fakehost.Tree{Birth: late}, func(_ *fakehost.World, m *monitor) {
		if _, err := m.begin(); !errors.Is(err, process.ErrNotExecuted) || !m.Newborn("x.1") {
			t.Errorf("Start: %v", err)
		}
		m.after(time.Second, "empty", "code 0")
		m.close()
	})
	late.Fails = process.ErrNotFound
	in(t, fakehost.Tree{Birth: late}, func(_ *fakehost.World, m *monitor) {
		if _, err := m.begin(); !errors.Is(err, process.ErrNotExecuted) {
			t.Errorf("Start: %v", err)
		}
		m.after(time.Second, "empty", "code 126")
		m.close()
	})
}

func TestAProcessThatIsNotMadeInTimeIsNotMade(t *testing.T) {
	in(t, fakehost.Tree{Birth: fakehost.Birth{Takes: time.Hour}}, func(w *fakehost.World, m *monitor) {
		if _, err := m.begin(); !errors.Is(err, process.ErrNotStarted) || !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("Start: %v", err)
		}
		m.after(time.Hour)
		if leaves, _ := m.Leaves(); len(leaves) > 0 || len(w.Living("x.1")) > 0 {
			t.Errorf("there is %q", leaves)
		}
		m.close()
	})
}

func TestWhatIsReleasedWhileItLivesIsNotWatched(t *testing.T) {
	in(t, fakehost.Tree{First: fakehost.Process{Lives: time.Second}}, func(_ *fakehost.World, m *monitor) {
		m.start()
		m.Release("x.1")
		if leaves, _ := m.Leaves(); len(leaves) != 1 {
			t.Errorf("the leaves are %q", leaves)
		}
		m.after(time.Second)
		m.close()
	})
}

package manager

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/keeper"
)

// scene is a manager, and what it said, in a time that the test sets.
type scene struct {
	*Manager
	t       *testing.T
	dir     string
	now     int64
	said    []string        // by it to the service manager and to the keeper
	orphans map[string]bool // leaves
	ended   map[string]bool // leaves
}

func newScene(t *testing.T, s Settings) *scene {
	sc := &scene{t: t, dir: t.TempDir(), orphans: map[string]bool{}, ended: map[string]bool{}}
	sc.Manager = New(s, clock.NewTimers(func() int64 { return sc.now }))
	sc.Connect(sc, sc)
	return sc
}

func (sc *scene) Notify(text string, f *os.File) error {
	if f != nil {
		text += " with " + filepath.Base(f.Name())
	}
	sc.said = append(sc.said, text)
	return nil
}

func (sc *scene) Hold(name string, f *os.File) error {
	sc.said = append(sc.said, "hold "+name+" with "+filepath.Base(f.Name()))
	return nil
}

func (sc *scene) Drop(name string) error {
	sc.said = append(sc.said, "drop "+name)
	return nil
}

func (sc *scene) Pidfd(leaf string) (*os.File, error) {
	if sc.ended[leaf] {
		return nil, errors.New("it has ended")
	}
	return sc.file(leaf), nil
}

func (sc *scene) Orphan(leaf string) bool { return sc.orphans[leaf] }

func (sc *scene) file(name string) *os.File {
	sc.t.Helper()
	f, err := os.Create(filepath.Join(sc.dir, name))
	if err != nil {
		sc.t.Fatal(err)
	}
	sc.t.Cleanup(func() { f.Close() })
	return f
}

func (sc *scene) after(d time.Duration) {
	sc.now += int64(d)
	sc.timers.Run()
}

// says expects what was said since it was asked last.
func (sc *scene) says(when string, want ...string) {
	sc.t.Helper()
	if !slices.Equal(sc.said, want) {
		sc.t.Errorf("%s it says %q, want %q", when, sc.said, want)
	}
	sc.said = nil
}

func TestWhoDoesNotListenIsToldNothing(t *testing.T) {
	sc := newScene(t, Settings{Store: 10})
	sc.Serving()
	sc.Reloading()
	sc.Status("x")
	sc.Alive()
	sc.Keep("a.1", false)
	sc.after(time.Minute)
	sc.Forget("a.1")
	sc.ForgetStale("b.1")
	sc.Stopping()
	sc.says("to nobody")
}

func TestTheWatchdogIsFedTwiceInItsTime(t *testing.T) {
	sc := newScene(t, Settings{Listens: true, Watchdog: 30 * time.Second})
	sc.Alive()
	sc.says("at first", "WATCHDOG=1")
	sc.after(14 * time.Second)
	sc.says("after 14 s")
	sc.after(time.Second)
	sc.says("after 15 s", "WATCHDOG=1")
	sc.after(15 * time.Second)
	sc.says("after 30 s", "WATCHDOG=1")
}

func TestThePidfdOfATaskIsKeptUntilItsEndIsDurable(t *testing.T) {
	sc := newScene(t, Settings{Listens: true, Store: 1})
	sc.Keep("short.1", false)
	sc.ended["short.1"] = true
	sc.Keep("a.1", false)
	sc.Keep("b.1", false)
	sc.says("at first")
	sc.after(keepAfter)
	sc.says("a second later", "FDSTORE=1\nFDPOLL=0\nFDNAME=a.1 with a.1")
	sc.Forget("short.1")
	sc.Forget("b.1")
	sc.says("of what is not kept, for it ended or the store is full")
	sc.Forget("a.1")
	sc.says("at the end", "FDSTOREREMOVE=1\nFDNAME=a.1")
	sc.Keep("c.1", false)
	sc.after(keepAfter)
	sc.says("as there is room again", "FDSTORE=1\nFDPOLL=0\nFDNAME=c.1 with c.1")
}

// One that was adopted is in the store already. The keeper is told only of what is no
// longer a child of ours.
func TestThePidfdOfAnAdoptedTaskIsStoredAnew(t *testing.T) {
	sc := newScene(t, Settings{Listens: true, Store: 0})
	sc.orphans["b.1"] = true
	sc.Keep("a.1", true)
	sc.after(keepAfter)
	sc.says("of a child", "FDSTOREREMOVE=1\nFDNAME=a.1", "FDSTORE=1\nFDPOLL=0\nFDNAME=a.1 with a.1")
	sc.Keep("b.1", true)
	sc.after(keepAfter)
	sc.says("of an orphan", "hold pidfd b.1 with b.1", "FDSTOREREMOVE=1\nFDNAME=b.1", "FDSTORE=1\nFDPOLL=0\nFDNAME=b.1 with b.1")
	sc.Forget("b.1")
	sc.says("at its end", "drop pidfd b.1", "FDSTOREREMOVE=1\nFDNAME=b.1")
}

func TestAnOrphanIsKeptWhereNoServiceManagerListens(t *testing.T) {
	sc := newScene(t, Settings{})
	sc.orphans["a.1"] = true
	sc.Keep("a.1", true)
	sc.Keep("child.1", true)
	sc.after(keepAfter)
	sc.says("of an orphan", "hold pidfd a.1 with a.1")
	sc.Forget("a.1")
	sc.says("at its end", "drop pidfd a.1")
}

// What an earlier monitor left is kept on for the tasks that live, and else dropped.
func TestWhatIsLeftOfEndedTasksIsDropped(t *testing.T) {
	sc := newScene(t, Settings{Listens: true, Store: 10})
	held := map[string]*os.File{"pidfd a.1": sc.file("a.1"), "lock": sc.file("lock")}
	inherited := []keeper.Inherited{{Name: "b.1", Held: "inherited 0 b.1", File: sc.file("b.1")}, {Name: "gone.1", Held: "inherited 1 gone.1", File: sc.file("gone.1")}}
	kept := Kept(held, inherited)
	if len(kept) != 3 || kept["a.1"] != held["pidfd a.1"] || kept["b.1"] != inherited[0].File {
		t.Errorf("kept are %v", kept)
	}
	sc.Inherit(held, inherited, func(leaf string) bool { return leaf != "gone.1" })
	sc.says("of what is left", "FDSTOREREMOVE=1\nFDNAME=gone.1", "drop inherited 1 gone.1")
	if _, err := held["lock"].Stat(); err != nil {
		t.Errorf("what is no pidfd was closed: %v", err)
	}
	sc.Keep("b.1", true)
	sc.after(keepAfter)
	sc.says("of one that is kept already")
	sc.Forget("a.1")
	sc.Forget("b.1")
	sc.says("at the ends", "drop pidfd a.1", "drop inherited 0 b.1", "FDSTOREREMOVE=1\nFDNAME=b.1")
	sc.Inherit(map[string]*os.File{"pidfd gone.2": sc.file("gone.2")}, nil, func(string) bool { return false })
	sc.says("of one that ended", "drop pidfd gone.2")
}

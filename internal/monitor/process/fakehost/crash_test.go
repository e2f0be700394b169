package fakehost_test

import (
	"testing"
	"testing/synctest"
	"time"

	"deputy/internal/monitor/process"
	"deputy/internal/monitor/process/fakehost"
)

// grace is how long a host waits for who is to tell a status.
const grace = 5 * time.Second

var ends = fakehost.Tree{First: fakehost.Process{Lives: time.Second}}

func TestACrashTellsNothingMore(t *testing.T) {
	in(t, ends, func(w *fakehost.World, m *monitor) {
		a := m.start()
		m.Crash()
		if killed, _ := m.Kill("x.1"); killed != 0 {
			t.Error("the dead monitor kills")
		}
		m.after(time.Second)
		next := open(t, w)
		if err := next.Adopt(a); err != nil {
			t.Error(err)
		}
		next.after(0, "empty", "code 0") // its keeper has reaped it, and the kernel tells
		m.after(0)
		next.close()
	})
}

func TestWhereTheKernelIsSilentTheKeeperTells(t *testing.T) {
	in(t, ends, func(w *fakehost.World, m *monitor) {
		w.Silence()
		a := m.start()
		m.Crash()
		next := open(t, w)
		if err := next.Adopt(a); err != nil {
			t.Error(err)
		}
		next.after(time.Second)
		told := w.Reaped()
		if len(told) != 1 || next.ForeignExit(told[0].PID, "/elsewhere/x.1", told[0].Status) {
			t.Errorf("the keeper tells %+v, and of another's leaf it was believed", told)
		}
		if !next.ForeignExit(told[0].PID, told[0].Cgroup, told[0].Status) {
			t.Error("the keeper was not believed")
		}
		next.after(0, "empty", "code 0")
		next.close()
	})
	in(t, ends, func(w *fakehost.World, m *monitor) {
		w.Silence()
		a := m.start()
		m.Crash()
		next := open(t, w)
		if err := next.Adopt(a); err != nil {
			t.Error(err)
		}
		next.after(time.Second + grace - 1)
		next.after(1, "empty", "unknown") // nobody does
		next.close()
	})
}

func TestWhatWasBuriedIsUnknown(t *testing.T) {
	in(t, ends, func(w *fakehost.World, m *monitor) {
		m.start()
		m.Crash()
		pass(time.Second)
		w.Bury()
		next := open(t, w)
		a, found := next.FindFirst("x.1")
		if err := next.Adopt(a); err != nil || !found {
			t.Errorf("%v, %v", found, err)
		}
		next.after(grace, "empty", "unknown")
		next.close()
	})
}

func TestABirthOutlivesItsMonitor(t *testing.T) {
	slow := fakehost.Tree{Birth: fakehost.Birth{Takes: time.Second}, First: stays}
	crash := func(m *monitor) {
		done := make(chan error)
		go func() { _, err := m.begin(); done <- err }()
		synctest.Wait()
		m.Crash()
		if <-done == nil {
			t.Error("the dead monitor was told of a birth")
		}
	}
	in(t, slow, func(w *fakehost.World, m *monitor) {
		crash(m)
		pass(time.Second) // its forker had the order
		next := open(t, w)
		a, found := next.FindFirst("x.1")
		if next.NeverBorn("x.1") || !found || !next.Ours("x.1") {
			t.Errorf("it was born: %+v, %v", a, found)
		}
		if err := next.Adopt(a); err != nil {
			t.Error(err)
		}
		next.close()
	})
	in(t, slow, func(w *fakehost.World, m *monitor) {
		crash(m)
		next := open(t, w)
		if _, found := next.FindFirst("x.1"); found || !next.NeverBorn("x.1") {
			t.Error("it is there before its birth")
		}
		pass(time.Second)
		if leaves, _ := next.Leaves(); len(leaves) > 0 || len(w.Living("x.1")) > 0 {
			t.Errorf("it was born all the same: %q", leaves)
		}
		next.close()
	})
}

func TestAfterARebootNothingLives(t *testing.T) {
	in(t, ends, func(w *fakehost.World, m *monitor) {
		a := m.start()
		before := w.Clock()
		w.Reboot()
		if w.Clock().Boot == before.Boot || w.Clock().Now() > before.Now() {
			t.Error("the clock is that of the boot before")
		}
		next := open(t, w)
		if leaves, _ := next.Leaves(); len(leaves) > 0 {
			t.Errorf("the leaves are %q", leaves)
		}
		if err := next.Adopt(a); err != nil {
			t.Error(err)
		}
		next.after(grace, "empty", "unknown")
		m.after(0)
		next.close()
	})
}

func TestASubreaperOutlivesTheMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fakehost.NewSubreaperWorld(func(process.Spec) fakehost.Tree {
			return fakehost.Tree{First: fakehost.Process{Lives: time.Second}, Others: []fakehost.Process{stays, stays}}
		})
		m := open(t, w)
		a := m.start()
		m.Crash()
		pass(time.Second) // and what is left over does not linger
		next := open(t, w)
		if err := next.Adopt(a); err != nil {
			t.Error(err)
		}
		next.after(0, "empty", "code 0")
		next.close()
	})
}

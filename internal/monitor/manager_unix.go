//go:build unix

package monitor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/state"
)

const (
	maxKept   = 512         // pidfds in the service manager's store: FileDescriptorStoreMax= of our unit
	keptAfter = time.Second // a task that ends sooner is not worth two messages
	heldPidfd = "pidfd "    // what the keeper holds of a leaf for the next monitor
)

// ServiceManager is what the service manager that started the keeper wants to
// hear, as its environment says (sd_notify(3), sd_watchdog_enabled(3)). It listens
// to the keeper alone, which relays what the monitor says.
type ServiceManager struct {
	Listens  bool
	Watchdog time.Duration // it takes us for hung after such a silence; 0: never
	Store    int           // how many descriptors it keeps for us, at most
}

// FindServiceManager reads the environment of the keeper, whose PID is given.
func FindServiceManager(keeperPID int) ServiceManager {
	s := ServiceManager{Listens: os.Getenv("NOTIFY_SOCKET") != "", Store: maxKept}
	if n, err := strconv.Atoi(os.Getenv("FDSTORE")); err == nil && n < maxKept {
		s.Store = n
	}
	whom := os.Getenv("WATCHDOG_PID")
	if µs, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && µs > 0 && (whom == "" || whom == strconv.Itoa(keeperPID)) {
		s.Watchdog = time.Duration(µs) * time.Microsecond
	}
	return s
}

// tell says lines of sd_notify(3) to the service manager. What it does not hear
// costs a task nothing.
func (m *Monitor) tell(lines ...string) { m.tellWith(nil, lines...) }

func (m *Monitor) tellWith(f *os.File, lines ...string) {
	if m.o.Manager.Listens {
		_ = m.link.Notify(strings.Join(lines, "\n"), f) // a dead keeper is told of by Lost
	}
}

// tellServing says that requests are answered.
func (m *Monitor) tellServing() { m.tell("READY=1", "STATUS=requests are answered") }

// tellReloading begins what tellServing ends.
func (m *Monitor) tellReloading() {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail
	m.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", ts.Nano()/1000))
}

// tellAlive feeds the watchdog. The loop itself does it, so that a hung one is seen.
func (m *Monitor) tellAlive() {
	if every := m.o.Manager.Watchdog / 2; every > 0 {
		m.tell("WATCHDOG=1")
		m.loop.After(every, m.tellAlive)
	}
}

// descriptors are pidfds of tasks that others keep for the next monitor.
type descriptors struct{ m *Monitor }

// ForgetStale lets go what an earlier monitor may have had kept.
func (d descriptors) ForgetStale(leaf string) { d.m.tell("FDSTOREREMOVE=1", "FDNAME="+leaf) }

// Keep has the service manager keep the pidfd of a task's first process:
// should keeper and monitor both be killed, the kernel tells the next ones by it
// how the process ended (Linux 6.15). An adopted one may be in the store already,
// by another descriptor; one whose keeper died is no longer a child of ours, and
// its pidfd is for the keeper too, should the monitor alone be killed.
func (d descriptors) Keep(leaf string, adopted bool) {
	m := d.m
	if !m.o.Manager.Listens && !adopted {
		return
	}
	if adopted && m.o.Manager.Listens {
		m.stored[leaf] = true
	}
	m.loop.After(keptAfter, func() {
		if m.heldAs[leaf] != "" || !adopted && len(m.stored) >= m.o.Manager.Store {
			return
		}
		f, err := m.host.Pidfd(leaf)
		if err != nil {
			return // it has ended; or it is not kept, and should all die its end is unknown
		}
		defer f.Close()
		if adopted && m.host.Orphan(leaf) && m.link.Hold(heldPidfd+leaf, f) == nil {
			m.heldAs[leaf] = heldPidfd + leaf
		}
		if !m.o.Manager.Listens {
			return
		}
		if adopted {
			m.tell("FDSTOREREMOVE=1", "FDNAME="+leaf)
		}
		m.stored[leaf] = true
		m.tellWith(f, "FDSTORE=1", "FDPOLL=0", "FDNAME="+leaf)
	})
}

// Forget lets go what is kept of a task, once the end is durable.
func (d descriptors) Forget(leaf string) {
	m := d.m
	if held := m.heldAs[leaf]; held != "" {
		m.link.Drop(held)
		delete(m.heldAs, leaf)
	}
	if m.stored[leaf] {
		delete(m.stored, leaf)
		m.tell("FDSTOREREMOVE=1", "FDNAME="+leaf)
	}
}

// kept gives what the service manager passed on, and the pidfds of the monitor
// before us, by name: a pidfd's is that of its leaf.
func kept(link *keeper.Link) map[string]*os.File {
	files := map[string]*os.File{}
	for _, x := range link.Inherited() {
		files[x.Name] = x.File
	}
	for name, f := range link.Held() {
		if leaf, is := strings.CutPrefix(name, heldPidfd); is {
			files[leaf] = f
		}
	}
	return files
}

// inherit looks through what the monitor before us left with the keeper and what
// the service manager passed on, once sockets and tasks have taken theirs. The pidfd of a task is held until its end is durable;
// nothing else is needed.
func (m *Monitor) inherit() {
	for name, f := range m.link.Held() {
		if leaf, is := strings.CutPrefix(name, heldPidfd); is {
			f.Close()
			if m.live(leaf) {
				m.heldAs[leaf] = name
			} else {
				m.link.Drop(name)
			}
		}
	}
	for _, x := range m.link.Inherited() {
		if m.live(x.Name) {
			m.heldAs[x.Name], m.stored[x.Name] = x.Held, true
			x.File.Close() // whoever adopted the task has a copy
			continue
		}
		m.tell("FDSTOREREMOVE=1", "FDNAME="+x.Name)
		m.link.Drop(x.Held)
		x.File.Close()
	}
}

// live says whether a leaf is that of a task that has not ended.
func (m *Monitor) live(leaf string) bool {
	id, _, _ := strings.Cut(leaf, ".")
	t := m.state.Tasks[id]
	return t != nil && t.Leaf == leaf && t.Phase != state.Over
}

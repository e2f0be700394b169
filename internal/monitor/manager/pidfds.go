package manager

import (
	"os"
	"strings"
	"time"

	"deputy/internal/monitor/keeper"
)

// The pidfd of a task's first process is kept beside us: should keeper and monitor
// both be killed, the kernel tells the next ones by it how the process ended (Linux
// 6.15). The service manager keeps those of all tasks, the keeper those of processes
// that are no longer children of ours. Each is kept until the end is durable.

// heldPidfd is what the keeper holds of a leaf for the next monitor.
const heldPidfd = "pidfd "

// keepAfter is how long a task lives until its pidfd is kept: one that ends sooner is
// not worth two messages.
const keepAfter = time.Second

// Kept gives the pidfds that are left of an earlier monitor, with the keeper or with
// the service manager, by their leaves. Of the latter there may be others beside.
func Kept(held map[string]*os.File, inherited []keeper.Inherited) map[string]*os.File {
	files := map[string]*os.File{}
	for _, x := range inherited {
		files[x.Name] = x.File
	}
	for name, f := range held {
		if leaf, is := strings.CutPrefix(name, heldPidfd); is {
			files[leaf] = f
		}
	}
	return files
}

// Inherit looks through the same, once sockets and tasks have taken theirs: what is
// of no living task is dropped.
func (m *Manager) Inherit(held map[string]*os.File, inherited []keeper.Inherited, lives func(leaf string) bool) {
	for name, f := range held {
		if leaf, is := strings.CutPrefix(name, heldPidfd); is {
			f.Close()
			if lives(leaf) {
				m.heldAs[leaf] = name
			} else {
				m.link.Drop(name)
			}
		}
	}
	for _, x := range inherited {
		if lives(x.Name) {
			m.heldAs[x.Name], m.stored[x.Name] = x.Held, true
			x.File.Close() // whoever adopted the task has a copy
			continue
		}
		m.unstore(x.Name)
		m.link.Drop(x.Held)
		x.File.Close()
	}
}

// Keep keeps the pidfd of a task that was just born, or that an earlier monitor began
// and this one has adopted.
func (m *Manager) Keep(leaf string, adopted bool) {
	if adopted {
		m.keepAdopted(leaf)
	} else {
		m.keepNew(leaf)
	}
}

func (m *Manager) keepNew(leaf string) {
	if !m.set.Listens {
		return
	}
	m.timers.After(keepAfter, func() {
		if m.heldAs[leaf] != "" || len(m.stored) >= m.set.Store {
			return
		}
		if f, err := m.host.Pidfd(leaf); err == nil { // else it has ended; or it is not kept, and should all die its end is unknown
			m.store(leaf, f)
			f.Close()
		}
	})
}

// keepAdopted minds that the pidfd may be in the store already, by another descriptor.
// One whose keeper died is no longer a child of ours, and its pidfd is for the keeper
// too, should the monitor alone be killed.
func (m *Manager) keepAdopted(leaf string) {
	if m.set.Listens {
		m.stored[leaf] = true
	}
	m.timers.After(keepAfter, func() {
		if m.heldAs[leaf] != "" {
			return
		}
		f, err := m.host.Pidfd(leaf)
		if err != nil {
			return
		}
		defer f.Close()
		if m.host.Orphan(leaf) && m.link.Hold(heldPidfd+leaf, f) == nil {
			m.heldAs[leaf] = heldPidfd + leaf
		}
		if m.set.Listens {
			m.unstore(leaf)
			m.store(leaf, f)
		}
	})
}

func (m *Manager) store(leaf string, f *os.File) {
	m.stored[leaf] = true
	m.tellWith(f, "FDSTORE=1", "FDPOLL=0", "FDNAME="+leaf)
}

// Forget lets go what is kept of a task, once its end is durable.
func (m *Manager) Forget(leaf string) {
	if held := m.heldAs[leaf]; held != "" {
		m.link.Drop(held)
		delete(m.heldAs, leaf)
	}
	if m.stored[leaf] {
		delete(m.stored, leaf)
		m.unstore(leaf)
	}
}

// ForgetStale lets go what the service manager may keep of a task whose end an
// earlier monitor recorded.
func (m *Manager) ForgetStale(leaf string) { m.unstore(leaf) }

package fakehost

import (
	"fmt"
	"syscall"

	"deputy"
	"deputy/internal/monitor/process"
)

// Adopt watches an attempt of a monitor before us again, in the same boot. A PID of 0
// stands for an attempt of which only the leaf is known.
func (h *Host) Adopt(old process.Attempt) error {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if err := h.reserve(old.Leaf); err != nil {
		return fmt.Errorf("cannot adopt %s: %w", old.Leaf, err)
	}
	a := &attempt{Attempt: old, leaf: h.world.leaves[old.Leaf]}
	if l := a.leaf; l != nil && l.first != nil {
		a.known = old.PID == l.attempt.PID && !l.buried
	}
	h.attempts[old.Leaf] = a
	h.look(a)
	return nil
}

// Leaves lists the leaves that exist, sorted.
func (h *Host) Leaves() ([]string, error) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	return h.world.names(), nil
}

// FindFirst finds the first process of an attempt whose birth its monitor did not
// live to record.
func (h *Host) FindFirst(leaf string) (process.Attempt, bool) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	l := h.world.leaves[leaf]
	if l == nil || l.first == nil {
		return process.Attempt{Leaf: leaf}, false
	}
	return l.attempt, true
}

// NeverBorn says whether nothing was ever born in a leaf, and sees to it that nothing
// will be.
func (h *Host) NeverBorn(leaf string) bool {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	l := h.world.leaves[leaf]
	if l == nil || l.first != nil || h.world.proof == process.ProofSubreaper {
		return false
	}
	h.world.forget(l)
	return true
}

// Newborn says whether the first process of a live attempt has not become its program yet.
func (h *Host) Newborn(leaf string) bool {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	a := h.attempts[leaf]
	return a != nil && a.leaf != nil && a.leaf.newborn && h.world.proof == process.ProofCgroup
}

// Ours says whether a leaf is one of this installation.
func (h *Host) Ours(leaf string) bool {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	l := h.world.leaves[leaf]
	return h.world.proof == process.ProofSubreaper || l != nil && l.instance == h.options.Instance
}

// ForeignExit tells how a process ended that the keeper reaped. It says whether that
// was the first process of an adopted attempt.
func (h *Host) ForeignExit(pid int, path string, status Status) bool {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	for _, a := range h.attempts {
		if a.PID == pid && pid > 0 && path == tasksPath+"/"+a.Leaf && !a.exited && (a.leaf == nil || !a.leaf.child) && h.world.proof == process.ProofCgroup {
			h.ended(a, exitOf(status), 0)
			return true
		}
	}
	return false
}

// reaches gives the leaf that an order to a name acts on; nil: none. A subreaper is
// reached only where its attempt is watched. The caller holds mu.
func (h *Host) reaches(leaf string) *leaf {
	l := h.world.leaves[leaf]
	if h.dead || l == nil || h.world.proof == process.ProofSubreaper && h.attempts[leaf] == nil {
		return nil
	}
	return l
}

// Signal sends sig to every process of the leaf. ErrGone: there was none.
func (h *Host) Signal(leaf string, sig syscall.Signal) error {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	l := h.reaches(leaf)
	if l == nil || l.signal(sig) == 0 {
		return process.ErrGone
	}
	return nil
}

// Kill kills all that lives in the leaf and counts it just before. It does not wait:
// Empty follows. Nothing can be born in the leaf any more.
func (h *Host) Kill(leaf string) (killed int, err error) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	l := h.reaches(leaf)
	if l == nil {
		return 0, nil
	}
	killed = l.living()
	l.ordered = true
	l.kill()
	l.changed()
	return killed, nil
}

// Survivors lists what lives in the leaf.
func (h *Host) Survivors(leaf string) []deputy.Survivor {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	return h.reaches(leaf).survivors()
}

// Hurry ends at once what outlived its first process and lingers below a subreaper,
// and says whether there was any.
func (h *Host) Hurry(leaf string) bool {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	l := h.world.leaves[leaf]
	if h.dead || h.world.proof != process.ProofSubreaper || l == nil || l.lingers == nil && !l.hurried {
		return false
	}
	l.hurry()
	return true
}

// Proof names what the end of a tree rests on.
func (h *Host) Proof() string { return h.world.proof }

// Weakness says why the promise is weaker than it could be; "" if it is not.
func (h *Host) Weakness() string {
	if h.world.proof == process.ProofSubreaper {
		return "task trees are held by a subreaper process, which a task of the same user can kill, not by a cgroup"
	}
	return ""
}

// TasksPath is the cgroup in which the leaves are; "" without cgroups.
func (h *Host) TasksPath() string {
	if h.world.proof == process.ProofSubreaper {
		return ""
	}
	return tasksPath
}

package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// firstMark is an extended attribute of a leaf: "PID BOOTNS" of its first
// process, for a monitor that finds the leaf and no record of the birth
// (cgroups have attributes of the user's since Linux 5.7).
const firstMark = "user.deputy.first"

// instanceMark is another: whose installation's the leaf is.
const instanceMark = "user.deputy.instance"

// mark notes an attempt's birth on its open leaf. It is not durable and need
// not be: it is for the time until the journal has the birth.
func (h *Host) mark(fd int, a Attempt) {
	_ = unix.Fsetxattr(fd, instanceMark, []byte(h.options.Instance), 0)
	_ = unix.Fsetxattr(fd, firstMark, fmt.Appendf(nil, "%d %d", a.PID, a.BootNS), 0) // without it FindFirst looks around
}

// Ours says whether a leaf is marked as one of this installation.
func (h *Host) Ours(leaf string) bool {
	if h.tree == nil {
		return true // StateDir is ours alone
	}
	text := make([]byte, 64)
	n, err := unix.Getxattr(h.tree.leaf(leaf), instanceMark, text)
	return err == nil && string(text[:n]) == h.options.Instance
}

// Newborn says whether the first process of a live attempt, as far as one can look,
// has not become its program yet.
func (h *Host) Newborn(leaf string) bool {
	h.mu.Lock()
	a := h.attempts[leaf]
	h.mu.Unlock()
	if a == nil || h.tree == nil {
		return false // a subreaper has what it started in hand
	}
	s, err := readStat(a.PID)
	return err == nil && s.comm == makerName && !s.dead()
}

// FindFirst finds the first process of an attempt whose birth its monitor did
// not live to record, alive or not; false where that cannot be told. It must be
// asked before the keeper is told that the monitor is ready.
func (h *Host) FindFirst(leaf string) (Attempt, bool) {
	if h.tree == nil {
		found, err := readFinding(h.options.StateDir, leaf)
		return Attempt{Leaf: leaf, PID: found.PID, BootNS: found.BootNS}, err == nil
	}
	a := Attempt{Leaf: leaf}
	text := make([]byte, 64)
	if n, err := unix.Getxattr(h.tree.leaf(leaf), firstMark, text); err == nil {
		n, err := fmt.Sscan(string(text[:n]), &a.PID, &a.BootNS)
		return a, n == 2 && err == nil
	}
	return h.oldest(leaf)
}

// NeverBorn says whether nothing was ever born in the leaf of an attempt whose birth
// its monitor did not live to record, and sees to it that nothing will be: the
// forker of that monitor may still have the order, and in a cgroup that is
// removed nothing can be born. Only under the keeper of that monitor, and asked before it
// is told that the monitor is ready, a first process that has ended is still to be seen.
func (h *Host) NeverBorn(leaf string) bool {
	if h.tree == nil {
		return false // its subreaper may still begin it
	}
	dir := h.tree.leaf(leaf)
	if _, err := unix.Getxattr(dir, firstMark, nil); err == nil || unix.Rmdir(dir) != nil {
		return false
	}
	first, _ := h.oldest(leaf)
	return first.PID == 0
}

// oldest finds the first process in the moment between its birth and the mark.
// All children of a monitor that died came up to the keeper, which does not
// reap them yet: so the oldest process of the leaf, zombies too, is the first
// one, if the keeper is its parent. Under any other parent the keeper died as
// well; then the first one may be gone, and this be what it left behind.
func (h *Host) oldest(leaf string) (Attempt, bool) {
	var first stat
	for _, pid := range append(children(h.options.KeeperPID), pidsIn(h.tree.leaf(leaf))...) {
		path, err := cgroupOf(fmt.Sprint(pid))
		if err != nil || !h.tree.holds(leaf, path) {
			continue
		}
		s, err := readStat(pid)
		if older := s.startNS < first.startNS || s.startNS == first.startNS && pid < first.pid; err == nil && (first.pid == 0 || older) {
			first = s
		}
	}
	return Attempt{Leaf: leaf, PID: first.pid, BootNS: first.startNS}, first.pid != 0 && first.ppid == h.options.KeeperPID
}

package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// descendants lists what lives beneath root, parents before their children,
// root itself left out. While the tree still forks the list may lag behind: the
// callers look again until nothing is new. Because root is a child subreaper,
// whatever loses its parent comes up to root and is found there.
func descendants(root int) []stat {
	var list []stat
	seen := map[int]bool{root: true}
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		for _, pid := range children(queue[0]) {
			if s, err := readStat(pid); err == nil && !seen[pid] {
				seen[pid] = true
				queue = append(queue, pid)
				list = append(list, s)
			}
		}
	}
	return list
}

// children reads who was born of, or came up to, any thread of pid
// (proc_pid_tid_children(5); CONFIG_PROC_CHILDREN).
func children(pid int) []int {
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	var pids []int
	for _, file := range files {
		text, _ := os.ReadFile(file) // a thread that is gone has none
		for _, field := range bytes.Fields(text) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// send signals exactly the process that s describes, never another one that
// was given its number since.
func (s stat) send(sig unix.Signal) bool {
	pidfd, err := unix.PidfdOpen(s.pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(pidfd)
	now, err := readStat(s.pid)
	return err == nil && now.startNS == s.startNS && unix.PidfdSendSignal(pidfd, sig, nil, 0) == nil
}

// stopTree stops everything beneath root, so that nothing escapes by forking
// while it is signalled or counted, and gives what lives there.
func stopTree(root int) []stat {
	for end := time.Now().Add(freezeWithin); ; {
		list, running := descendants(root), 0
		living := list[:0]
		for _, s := range list {
			if s.dead() {
				continue
			}
			living = append(living, s)
			if s.state != "T" && s.send(unix.SIGSTOP) {
				running++
			}
		}
		if running == 0 || time.Now().After(end) {
			return living
		}
	}
}

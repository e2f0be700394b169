package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sender finds the task that a process belongs to.
type sender struct {
	proc        string // where procfs is mounted
	cgroupTasks string // see wall.Greeting; empty: tasks live under subreapers
	tasks       tasks
}

// byCgroup reads the task from the path of the sender's cgroup, which a task
// cannot leave: CGROUPTASKS/ID.ATTEMPT, or something below it; empty: none.
func (s *sender) byCgroup(pid int) string {
	text, err := s.read(pid, "cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		path, unified := strings.CutPrefix(line, "0::")
		leaf, inside := strings.CutPrefix(path, strings.TrimSuffix(s.cgroupTasks, "/")+"/")
		if unified && inside {
			leaf, _, _ = strings.Cut(leaf, "/")
			return idOf(leaf)
		}
	}
	return ""
}

// maxAncestors bounds the walk up from a sender.
const maxAncestors = 256

// startSlack is how long after the time that the journal has of a start the process
// may have been born; tick is the unit of the times in /proc. Both in ns: see
// process.Attempt, and proc_pid_stat(5).
const (
	startSlack = int64(500 * time.Millisecond)
	tick       = int64(10 * time.Millisecond)
)

// claim is a process above a sender that says by its arguments that it is the
// subreaper of a task. Anybody can say so: what counts is whether it is the process
// that the journal names.
type claim struct {
	task string
	pid  int
	born int64 // CLOCK_BOOTTIME, ns
}

// claims walks up from a sender and lists those above it.
func (s *sender) claims(pid int) []claim {
	var list []claim
	for range maxAncestors {
		stat, err := s.read(pid, "stat")
		if err != nil {
			return nil
		}
		parent, born := parentOf(stat)
		if id := s.reaped(pid); id != "" && born > 0 {
			list = append(list, claim{id, pid, born})
		}
		if pid = parent; pid <= 1 {
			return list
		}
	}
	return nil
}

// proven gives the task of the first claim that the journal bears out. Without one
// early says that the start of a task that is claimed is not known yet.
func (s *sender) proven(claims []claim) (task string, early bool) {
	for _, c := range claims {
		first, live := s.tasks.First(c.task)
		switch {
		case !live:
		case first.PID == 0:
			early = true
		case first.PID == c.pid && c.born > first.BootNS-tick && c.born <= first.BootNS+startSlack:
			return c.task, false
		}
	}
	return "", early
}

// reaped gives the task whose subreaper pid says to be; empty: none.
func (s *sender) reaped(pid int) string {
	cmdline, err := s.read(pid, "cmdline")
	args := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
	if err != nil || len(args) < 2 || args[len(args)-2] != "reaper" {
		return ""
	}
	return idOf(args[len(args)-1])
}

// idOf takes the task from the name of an attempt, ID.ATTEMPT.
func idOf(leaf string) string {
	id, _, found := strings.Cut(leaf, ".")
	if !found {
		return ""
	}
	return id
}

func (s *sender) read(pid int, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.proc, strconv.Itoa(pid), name))
}

// parentOf reads the parent and the time of birth from /proc/PID/stat: the second
// and the twentieth field behind the command's name, which stands in parentheses and
// may hold any byte; 0 if there is none.
func parentOf(stat []byte) (pid int, born int64) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, 0
	}
	pid, _ = strconv.Atoi(string(fields[1]))
	ticks, _ := strconv.ParseInt(string(fields[19]), 10, 64)
	return pid, ticks * tick
}

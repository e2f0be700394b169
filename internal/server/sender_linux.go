package server

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sender finds the task that a process belongs to.
type sender struct {
	proc        string // where procfs is mounted
	cgroupTasks string // see wall.Greeting; empty: tasks live under subreapers
	tasks       tasks
}

// task gives the id of the task that pid belongs to; empty: none.
func (s *sender) task(pid int) string {
	if s.cgroupTasks != "" {
		return s.byCgroup(pid)
	}
	return s.byReaper(pid)
}

// byCgroup reads the task from the path of the sender's cgroup, which a task
// cannot leave: CGROUPTASKS/ID.ATTEMPT, or something below it.
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

// byReaper walks up from the sender to the subreaper above it, which names the
// attempt as its last argument. A task may run something that looks like
// a subreaper, but only below its own: the topmost one counts.
func (s *sender) byReaper(pid int) string {
	found := ""
	for range maxAncestors {
		if id := s.reaped(pid); id != "" {
			found = id
		}
		stat, err := s.read(pid, "stat")
		if err != nil {
			return ""
		}
		if pid = parentOf(stat); pid <= 1 {
			return found
		}
	}
	return ""
}

// reaped gives the task above which pid is the subreaper; empty: none. What is
// no task here may be one of a deputy above this one.
func (s *sender) reaped(pid int) string {
	cmdline, err := s.read(pid, "cmdline")
	args := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
	if err != nil || len(args) < 2 || args[len(args)-2] != "reaper" {
		return ""
	}
	id := idOf(args[len(args)-1])
	if id == "" {
		return ""
	}
	if _, known, err := s.tasks.Task(context.Background(), id); err != nil || !known {
		return ""
	}
	return id
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

// parentOf reads the parent from /proc/PID/stat: the second field behind the
// command's name, which stands in parentheses and may hold any byte; 0 if there
// is none.
func parentOf(stat []byte) int {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	pid, _ := strconv.Atoi(string(fields[1]))
	return pid
}

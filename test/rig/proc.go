//go:build linux

package rig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"deputy"
)

// Living gives the PIDs of all processes of a task, wherever they are: what a
// task has started carries DEPUTY_TASK in its first environment. A zombie does
// not live.
func Living(task string) []int {
	mark := []byte("DEPUTY_TASK=" + task + "\x00")
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if bytes.Contains(text, mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// State is the letter of /proc/PID/stat, "" when there is no such process.
func State(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	state, _, _ := strings.Cut(rest, " ")
	return state
}

// HasEnded says whether a child of the test has ended. One that executes
// another program from a thread of its own is a zombie for a moment, too, and
// has not.
func HasEnded(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || info.Signo != 0
}

// Cgroup is the path of a process's v2 cgroup, "" without.
func Cgroup(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return ""
}

// Status reads one line of /proc/PID/status.
func Status(pid int, name string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

func mount() string {
	for _, dir := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			return dir
		}
	}
	return ""
}

// Leaf is the directory of a task's cgroup.
func (d *Deputy) Leaf(task deputy.Task) string {
	return filepath.Join(mount(), d.place, "tasks", fmt.Sprintf("%s.%d", task.ID, task.Attempt))
}

// Leaves lists the cgroups of this deputy's tasks.
func (d *Deputy) Leaves() []string {
	all, _ := filepath.Glob(filepath.Join(mount(), d.place, "tasks", "*"))
	var own []string
	for _, leaf := range all {
		id, _, _ := strings.Cut(filepath.Base(leaf), ".")
		if _, err := os.Stat(filepath.Join(d.State, "tasks", id)); err == nil {
			own = append(own, leaf)
		}
	}
	return own
}

// sweep ends what an installed deputy has left alive, as it should, or a test
// that failed.
func (d *Deputy) sweep() {
	if d.place == "" || mount() == "" {
		return
	}
	for _, leaf := range d.Leaves() {
		end(leaf)
	}
	if strings.HasPrefix(d.place, "/deputy-") {
		for _, dir := range []string{"tasks", "daemon", ""} {
			os.Remove(filepath.Join(mount(), d.place, dir))
		}
	}
}

// Traced says whether a debugger is attached to every thread of a process.
func Traced(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/status", pid))
	for _, file := range threads {
		if text, _ := os.ReadFile(file); !bytes.Contains(text, []byte("TracerPid:")) || bytes.Contains(text, []byte("TracerPid:\t0\n")) {
			return false
		}
	}
	return len(threads) > 0
}

package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"deputy"
)

// ticksNS is one tick of the times in /proc in ns: USER_HZ is 100 wherever Go runs.
const ticksNS = 10_000_000

// stat is a part of /proc/PID/stat (proc_pid_stat(5)).
type stat struct {
	pid, ppid int
	comm      string
	state     string
	startNS   int64           // on the boot clock, cut to a tick
	status    unix.WaitStatus // of one that is dead; known to root and to itself
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	// comm may hold anything, ')' and spaces too: the last ')' ends it.
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return stat{}, fmt.Errorf("cannot read /proc/%d/stat: unknown form", pid)
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("cannot read /proc/%d/stat: %d fields", pid, len(fields))
	}
	ppid, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, err
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	s := stat{pid: pid, ppid: ppid, comm: string(text[open+1 : end]), state: fields[0], startNS: ticks * ticksNS}
	if code, err := strconv.ParseUint(fields[len(fields)-1], 10, 32); err == nil { // exit_code is the last since Linux 3.5
		s.status = unix.WaitStatus(code)
	}
	return s, err
}

// dead is a process that only waits for its parent to take its status.
func (s stat) dead() bool { return s.state == "Z" || s.state == "X" }

// cgroupOf gives the path of a process's v2 cgroup, as cgroups(7) writes it in
// /proc/PID/cgroup. It is readable for a zombie too, even after the rmdir.
func cgroupOf(pid string) (string, error) {
	text, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(strings.TrimSpace(path), " (deleted)"), nil
		}
	}
	return "", fmt.Errorf("cannot find the cgroup of process %s: no cgroup v2", pid)
}

// survivors describes those of pids that still live.
func survivors(pids []int) []deputy.Survivor {
	var list []deputy.Survivor
	for _, pid := range pids {
		if s, err := readStat(pid); err == nil && !s.dead() {
			list = append(list, deputy.Survivor{PID: pid, Comm: s.comm, State: s.state})
		}
	}
	return list
}

// exitOf reads a wait status. It is exact.
func exitOf(ws unix.WaitStatus) deputy.Exit {
	if ws.Signaled() {
		name := unix.SignalName(ws.Signal())
		if name == "" {
			name = fmt.Sprintf("SIG%d", int(ws.Signal())) // a real-time signal
		}
		return deputy.Exit{Signal: name}
	}
	code := ws.ExitStatus()
	return deputy.Exit{Code: &code}
}

// pidOf gives the PID of a pidfd's process, -1 once it has been reaped
// (proc_pid_fdinfo(5)). An error: it is no pidfd.
func pidOf(pidfd int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Pid:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("descriptor %d is no pidfd", pidfd)
}

// pidfdExit asks the kernel how a process ended that was reaped by another
// (PIDFD_INFO_EXIT, Linux 6.15).
func pidfdExit(pidfd int) (deputy.Exit, bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(pidfd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return deputy.Exit{}, false
	}
	return exitOf(unix.WaitStatus(info.Exit_code)), true
}

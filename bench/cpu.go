//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc: USER_HZ is 100 wherever Go runs.
const tick = 10 * time.Millisecond

// usage is the processor time that each part has used so far.
type usage struct {
	keeper, monitor, server, client time.Duration
	tasks                           time.Duration // children of the monitor that it has reaped
	machine                         time.Duration // all that was not idle, kernel threads and strangers too
}

func (d *daemon) usage() usage {
	var u usage
	u.keeper, _ = timesOf(d.keeper.Process.Pid)
	u.monitor, u.tasks = timesOf(d.monitor)
	u.server, _ = timesOf(d.server)
	u.client, _ = timesOf(os.Getpid())
	u.machine = busy()
	return u
}

func (u usage) minus(o usage) usage {
	return usage{u.keeper - o.keeper, u.monitor - o.monitor, u.server - o.server, u.client - o.client, u.tasks - o.tasks, u.machine - o.machine}
}

func (u usage) plus(o usage) usage { return u.minus(usage{}.minus(o)) }

// row says where the time went, for each of n tasks or requests.
func (u usage) row(name string, n int) row {
	each := func(d time.Duration) string { return number((d / time.Duration(max(n, 1))).Seconds() * 1e6) }
	note := fmt.Sprintf("monitor %s, server %s, keeper %s, this client %s", each(u.monitor), each(u.server), each(u.keeper), each(u.client))
	if u.tasks > 0 {
		note += ", the tasks " + each(u.tasks)
	}
	return microseconds(name, u.machine/time.Duration(max(n, 1))).note("of the whole machine; %s", note)
}

// timesOf reads what a process, and the children that it has waited for, have
// used (proc_pid_stat(5)). A process that is gone has used nothing.
func timesOf(pid int) (own, children time.Duration) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return 0, 0
	}
	return ticks(fields[11], fields[12]), ticks(fields[13], fields[14])
}

// busy is the time that all processors have not been idle (proc_stat(5)).
func busy() time.Duration {
	text, _ := os.ReadFile("/proc/stat")
	first, _, _ := strings.Cut(string(text), "\n")
	f := strings.Fields(first)
	if len(f) < 9 {
		return 0
	}
	return ticks(f[1], f[2], f[3], f[6], f[7]) // user, nice, system, irq, softirq
}

func ticks(fields ...string) (sum time.Duration) {
	for _, f := range fields {
		n, _ := strconv.ParseInt(f, 10, 64) // the kernel writes numbers
		sum += time.Duration(n) * tick
	}
	return sum
}

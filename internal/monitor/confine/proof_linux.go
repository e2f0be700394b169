package confine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"deputy/internal/seccomp"
)

// Prove looks, from outside, at whether a process that was started by the plan
// is what it should be; see proc_pid_status(5). Its PID must not have been
// reaped. That Landlock is in force the kernel does not show: who could not put
// it in force has not become the server.
func Prove(pid int, p Plan) error {
	server, err := statusOf(strconv.Itoa(pid))
	if err != nil {
		return fmt.Errorf("cannot prove that the server is confined: %w", err)
	}
	ours, err := statusOf("self")
	if err != nil {
		return fmt.Errorf("cannot prove that the server is confined: %w", err)
	}
	for name, want := range expected(p, ours) {
		if got := server[name]; got != want {
			return fmt.Errorf("the server is not confined: its %s is %q, not %q", name, got, want)
		}
	}
	return nil
}

func statusOf(process string) (map[string]string, error) {
	text, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		return nil, err
	}
	status := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.Join(strings.Fields(value), " ")
	}
	return status, nil
}

func expected(p Plan, ours map[string]string) map[string]string {
	const none = "0000000000000000"
	want := map[string]string{"NoNewPrivs": "1", "CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none}
	uid, gid := os.Geteuid(), os.Getegid()
	if p.UID >= 0 {
		uid, gid = p.UID, p.GID
		want["Groups"] = ""
	}
	want["Uid"] = fmt.Sprintf("%d %[1]d %[1]d %[1]d", uid) // real, effective, saved, of files
	want["Gid"] = fmt.Sprintf("%d %[1]d %[1]d %[1]d", gid)
	if canEmptyBounds() {
		want["CapBnd"] = none
	}
	if seccomp.Available() {
		want["Seccomp"] = "2"                                                  // a filter
		if filters, err := strconv.Atoi(ours["Seccomp_filters"]); err == nil { // counted since Linux 5.9
			want["Seccomp_filters"] = strconv.Itoa(filters + 2) // the plan's, and the server's own seal
		}
	}
	return want
}

// KilledByFilter says whether a process ended by a call that its filter forbids.
func KilledByFilter(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGSYS
}

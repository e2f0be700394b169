//go:build unix

package selftest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// part is one of the daemon's processes.
type part string

const (
	server  part = "server"
	monitor part = "monitor"
	keeper  part = "keeper"
)

// kill is a part that was killed, and how long nothing was accepted after that.
type kill struct {
	part part
	took time.Duration
}

// between is how long the load runs before each kill.
const between = 400 * time.Millisecond

// killAll kills each part in turn, in each round, and measures how long it takes
// until a request is accepted again.
func killAll(ctx context.Context, in *instance, o Options) ([]kill, error) {
	var done []kill
	for round := range o.Cycles {
		for _, p := range []part{server, monitor, keeper} {
			o.Say(fmt.Sprintf("round %d of %d: killing the %s under load", round+1, o.Cycles, p))
			if err := wait(ctx, between); err != nil {
				return nil, err
			}
			began := time.Now()
			if err := in.kill(ctx, p); err != nil {
				return nil, fmt.Errorf("cannot kill the %s: %w", p, err)
			}
			key := fmt.Sprintf("after-%d-%s", round, p)
			if _, err := ask(ctx, in.c, "run", params(0, "0"), key); err != nil {
				return nil, fmt.Errorf("nothing is accepted after the %s was killed: %w", p, err)
			}
			done = append(done, kill{p, time.Since(began)})
		}
	}
	return done, nil
}

func (in *instance) kill(ctx context.Context, p part) error {
	if p == keeper {
		in.keeper.signal(syscall.SIGKILL)
		<-in.keeper.ended
		return in.start(ctx)
	}
	pid, err := in.monitor()
	if err != nil {
		return err
	}
	if p == server {
		if pid, err = child(ctx, pid); err != nil {
			return err
		}
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// child finds the server among the children of the monitor: its tasks are
// children, too.
func child(ctx context.Context, monitor int) (int, error) {
	for {
		if pid := childOf(monitor); pid != 0 {
			return pid, nil
		}
		text, _ := exec.CommandContext(ctx, "ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "comm=").Output()
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 3 || f[1] != strconv.Itoa(monitor) || !strings.HasPrefix(f[2][strings.LastIndexByte(f[2], '/')+1:], "deputy-server") {
				continue
			}
			return strconv.Atoi(f[0])
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil { // it is just being started again
			return 0, fmt.Errorf("it is not among the children of %d: %w", monitor, err)
		}
	}
}

// childOf does without ps where there is a /proc.
func childOf(monitor int) int {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // pid (comm) state ppid …, proc_pid_stat(5)
		_, rest, _ := strings.Cut(string(text), "(deputy-server) ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(monitor) {
			return pid
		}
	}
	return 0
}

//go:build linux

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

const (
	// back is how long deputy may take to answer again after any fault: its keeper
	// gives a monitor that keeps dying up to 5 s, and the machine may be busy.
	back = 30 * time.Second
	// maxDeaths is how many monitors one keeper loses before it is replaced, too:
	// otherwise its growing delay would be most of the time.
	maxDeaths = 3
)

// The parts of deputy.
const keeper, monitor, server = "keeper", "--role monitor", "deputy-server"

// injector does what may befall a deputy.
type injector struct {
	t      *testing.T
	d      *rig.Deputy
	r      *record
	rng    *rand.Rand
	deaths int            // of monitors under this keeper
	all    bool           // its keeper may be killed, too: an installed deputy
	long   bool           // the run is a long one
	counts map[string]int // of what else happened
}

// step does one fault at random and waits until deputy answers again.
func (i *injector) step() {
	i.t.Helper()
	n := i.rng.IntN(100)
	if i.all && i.deaths >= maxDeaths {
		n = 60 + i.rng.IntN(20)
	}
	f := fault{From: now()}
	switch {
	case n < 25:
		f.What = "SIGKILL of the server"
		i.kill(server)
	case n < 50:
		f.What, f.Monitor = "SIGKILL of the monitor", true
		i.killMonitor()
	case n < 60:
		f.What, f.Monitor = "SIGKILL of the monitor, and of the next one while it begins", true
		i.killTwice()
	case n < 72 && i.all:
		f.What, f.Monitor, f.Orphaned = "SIGKILL of all", true, true
		i.killAll([]string{keeper, monitor, server})
	case n < 76 && i.all:
		f.What, f.Monitor, f.Orphaned = "SIGKILL of the keeper", true, true
		i.killAll([]string{keeper})
	case n < 80 && i.all:
		f.What, f.Monitor, f.Orphaned = "SIGTERM and a new start", true, true
		i.restart()
	case n < 83:
		f.What = "SIGSTOP of the server"
		i.hold(server)
	case n < 86:
		f.What = "SIGSTOP of the monitor"
		i.hold(monitor)
	case n < 92:
		f.What, f.Monitor = "SIGUSR2: an upgrade in place", true // of a task of another keeper it is no parent, and forgets its descriptor
		i.upgrade()
	case n < 96:
		f.What, f.Monitor = "SIGUSR2, and SIGKILL of the monitor while it upgrades", true
		i.signal(i.pid(keeper), syscall.SIGUSR2)
		time.Sleep(time.Duration(i.rng.IntN(60)) * time.Millisecond)
		i.killMonitor()
	default:
		f.What = "SIGHUP"
		i.signal(i.d.Cmd.Process.Pid, syscall.SIGHUP)
	}
	i.answering()
	f.To = now()
	i.r.fault(f)
}

func (i *injector) signal(pid int, sig syscall.Signal) {
	if pid > 0 {
		_ = syscall.Kill(pid, sig) // it may have died a moment ago
	}
}

func (i *injector) kill(part string) { i.signal(i.pid(part), syscall.SIGKILL) }

// pid finds a part of deputy. A task that is just being born looks like the
// monitor that forked it, also when it has come up to the keeper; but only the
// monitor leads a process group in a session that is not its own.
func (i *injector) pid(part string) int {
	top := i.d.Cmd.Process.Pid
	switch part {
	case keeper:
		return top
	case server:
		return i.d.Part(part)
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", top))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for field := range strings.FieldsSeq(string(text)) {
			pid, _ := strconv.Atoi(field)
			group, err := unix.Getpgid(pid)
			session, _ := unix.Getsid(pid)
			if state := rig.State(pid); err == nil && group == pid && session != pid && state != "Z" {
				return pid
			}
		}
	}
	return 0
}

// killMonitor kills the monitor and waits until there is another.
func (i *injector) killMonitor() int {
	i.deaths++
	old := i.pid(monitor)
	i.signal(old, syscall.SIGKILL)
	var next int
	rig.Eventually(i.t, back, "the keeper starts a monitor again", func() bool {
		next = i.pid(monitor)
		return next != 0 && next != old
	})
	return next
}

// killTwice kills a monitor that is still finding out what the one before left.
func (i *injector) killTwice() {
	next := i.killMonitor()
	time.Sleep(time.Duration(i.rng.IntN(30)) * time.Millisecond)
	i.signal(next, syscall.SIGKILL)
	i.deaths++
}

// killAll kills the named parts in some order, waits until nothing of deputy
// lives, and starts it again.
func (i *injector) killAll(parts []string) {
	pids := map[string]int{keeper: i.pid(keeper), monitor: i.pid(monitor), server: i.pid(server)}
	i.rng.Shuffle(len(parts), func(a, b int) { parts[a], parts[b] = parts[b], parts[a] })
	for _, part := range parts {
		i.signal(pids[part], syscall.SIGKILL)
		time.Sleep(time.Duration(i.rng.IntN(4)) * time.Millisecond)
	}
	_ = i.d.Cmd.Wait()
	rig.Eventually(i.t, back, "the monitor and the server end without their keeper", func() bool {
		for _, pid := range pids {
			if s := rig.State(pid); s != "" && s != "Z" && s != "X" {
				return false
			}
		}
		return true
	})
	time.Sleep(time.Duration(i.rng.IntN(100)) * time.Millisecond)
	i.launch()
}

func (i *injector) launch() {
	i.deaths = 0
	i.d.Launch()
}

func (i *injector) restart() {
	i.d.Stop()
	i.launch()
}

// upgrade has all of deputy executed anew, and waits until it was. A SIGTERM while
// the keeper executes itself would end that at once.
func (i *injector) upgrade() {
	began := func() string {
		h, err := i.d.Client().Health(i.t.Context())
		if err != nil {
			return ""
		}
		return h.Started
	}
	before := began()
	i.signal(i.pid(keeper), syscall.SIGUSR2)
	rig.Eventually(i.t, back, "the upgrade is over", func() bool { now := began(); return now != "" && now != before })
}

// hold stops a part for some hundred ms; in a long run now and then for a minute.
func (i *injector) hold(part string) {
	pid := i.d.Part(part)
	i.signal(pid, syscall.SIGSTOP)
	if i.long && i.rng.IntN(50) == 0 {
		i.counts["a part held for a minute"]++
		time.Sleep(time.Minute)
	}
	time.Sleep(100*time.Millisecond + time.Duration(i.rng.IntN(400))*time.Millisecond)
	i.signal(pid, syscall.SIGCONT)
}

// answering waits until a request goes all the way to a monitor and back. A
// keeper whose first monitor could not begin has ended: it is started again, as
// a service manager would.
func (i *injector) answering() {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), back)
	defer cancel()
	for ctx.Err() == nil {
		if rig.HasEnded(i.d.Cmd.Process.Pid) {
			_ = i.d.Cmd.Wait()
			i.counts["a start that had to be repeated"]++
			i.launch()
		}
		if i.answersNow(ctx) {
			i.d.Answering(ctx)
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	i.t.Fatalf("deputy does not answer within %v; it said:\n%s", back, tail(i.d.Log()))
}

func (i *injector) answersNow(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c := i.d.Client()
	c.Patience = 0 // whether to ask again is ours to say
	_, err := c.Actions(ctx)
	return err == nil
}

// tail is the end of a long text.
func tail(text string) string { return text[max(0, len(text)-4000):] }

// settled waits until no task lives. One that never ends is the judge's to tell.
func settled(d *rig.Deputy) {
	c := d.As(os.Geteuid())
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		a, err := c.Try("GET", "/v1/tasks?state=running,queued,stopping,awaiting_approval&limit=1", "")
		var list struct{ Tasks []deputy.Task }
		if err == nil && json.Unmarshal(a.Body, &list) == nil && len(list.Tasks) == 0 {
			return
		}
	}
}

// killTraced ends a deputy whose keeper has strace above it.
func (i *injector) killTraced() {
	for _, part := range []string{"deputyd", "--role monitor", "deputy-server"} {
		i.signal(i.d.Part(part), syscall.SIGKILL)
	}
	i.signal(i.d.Cmd.Process.Pid, syscall.SIGKILL)
}

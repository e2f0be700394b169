//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTime = 20 * time.Second // for deputy's first answer
	endTime   = 60 * time.Second // for its end, with up to 10,000 tasks to stop
)

// daemon is a running `deputyd --up` with a state of its own.
type daemon struct {
	dir     string
	state   string
	socket  string
	keeper  *exec.Cmd
	monitor int    // PID
	server  int    // PID
	cgroup  string // P of the design: tasks and daemon are beneath it; "": there is none
	ended   chan error
}

// config lets nobody be throttled, and no output be removed.
const config = `
[defaults]
per_caller = { live = 1000000, rate = "1000000/s", connections = 4096 }
[storage]
max_use   = "90%"
keep_free = "1%"
`

// module is what the measurements ask for. %[1]s is the folder of the children,
// %[2]d the user.
const module = `
name = "b"
[allow]
users = ["uid:%[2]d"]
[action.exit]
command = ["%[1]s/exit"]
[action.pause]
command = ["%[1]s/pause"]
[action.hold]
command = ["%[1]s/pause"]
lock    = "hold"
[action.tree]
command = ["%[1]s/tree"]
[action.whole]
command = ["%[1]s/bench", "@write", "{block}", "{bytes}"]
output  = { cap = "4GiB" }
params.block = { type = "integer" }
params.bytes = { type = "integer" }
[action.holes]
command = ["%[1]s/bench", "@write", "{block}", "{bytes}"]
output  = { cap = "16MiB" }
params.block = { type = "integer" }
params.bytes = { type = "integer" }
`

// start starts a deputy and waits until it answers.
func (b *bench) start(ctx context.Context) (*daemon, error) {
	dir, err := os.MkdirTemp(b.temp, "etc-")
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir}
	if d.state, err = os.MkdirTemp(b.disk, ""); err != nil {
		return nil, err
	}
	d.socket = filepath.Join(d.state, "deputy.sock")
	for name, text := range map[string]string{
		"deputy.toml": config, "modules.d/b.toml": fmt.Sprintf(module, b.temp, os.Geteuid()),
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return nil, err
		}
	}
	return d, d.launch(ctx, b)
}

// launch starts deputyd on the state as it is.
func (d *daemon) launch(ctx context.Context, b *bench) error {
	log, err := os.OpenFile(filepath.Join(d.state, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.keeper = exec.Command(filepath.Join(b.bin, "deputyd"), "--up", "--config", d.dir, "--state", d.state)
	d.keeper.Stdout, d.keeper.Stderr = log, log
	// A terminal's Ctrl-C is for us: we then end it in good order.
	d.keeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.keeper.Start(); err != nil {
		return err
	}
	d.ended = make(chan error, 1)
	go func() { d.ended <- d.keeper.Wait() }()
	if err := d.answering(ctx); err != nil {
		d.kill()
		return err
	}
	if d.monitor = childOf(d.keeper.Process.Pid, "--role\x00monitor"); d.monitor != 0 {
		d.server = childOf(d.monitor, "deputy-server")
	}
	if d.server == 0 {
		d.kill()
		return errors.New("cannot find the processes of deputy")
	}
	if path, err := cgroupOf(d.monitor); err == nil && b.cgroup != "" && filepath.Base(path) == "daemon" {
		d.cgroup = filepath.Dir(path)
	}
	return nil
}

func (d *daemon) answering(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if c, err := dial(ctx, d.socket); err == nil {
			status, _, err := c.ask(get("/healthz"))
			c.close()
			if err == nil && status == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("deputy does not answer; it said:\n%s", d.said())
		case err := <-d.ended:
			d.ended <- err
			return fmt.Errorf("deputy ended (%v); it said:\n%s", err, d.said())
		case <-time.After(time.Millisecond):
		}
	}
}

// stop ends deputy in good order and says how long that took. What does not
// end is killed, and an error.
func (d *daemon) stop() (time.Duration, error) {
	begun := time.Now()
	_ = d.keeper.Process.Signal(syscall.SIGTERM) // it may be gone: told below
	select {
	case err := <-d.ended:
		d.ended <- err
		if err != nil {
			return 0, fmt.Errorf("deputy ended with %v; it said:\n%s", err, d.said())
		}
		took := time.Since(begun)
		d.removeCgroups()
		return took, nil
	case <-time.After(endTime):
		d.kill()
		return 0, fmt.Errorf("deputy did not end within %v; it said:\n%s", endTime, d.said())
	}
}

// close ends deputy if it still runs. Its state stays until all is measured: an
// ext4 without a journal goes a long way around inodes that were freed less than
// five minutes ago.
func (d *daemon) close() error {
	_, err := d.stop()
	return err
}

// kill ends deputy and all its tasks without asking.
func (d *daemon) kill() {
	_ = d.keeper.Process.Kill() // each may be gone already
	for _, pid := range []int{d.monitor, d.server} {
		if pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	err := <-d.ended
	d.ended <- err
	if d.cgroup != "" {
		if err := removeCgroup(d.cgroup + "/tasks"); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	d.removeCgroups()
}

// removeCgroups removes what deputy may have left of P. Where P was given to
// us, not made by deputy, it holds us too, and stays.
func (d *daemon) removeCgroups() {
	if d.cgroup == "" {
		return
	}
	for _, dir := range []string{d.cgroup + "/tasks", d.cgroup + "/daemon", d.cgroup} {
		_ = os.Remove(dir) // most are gone already
	}
}

// said gives the last lines of the log.
func (d *daemon) said() string {
	text, _ := os.ReadFile(filepath.Join(d.state, "log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// childOf finds a child of pid by what its command line contains, arguments
// ended by NUL bytes; 0: there is none.
func childOf(pid int, has string) int {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range threads {
		text, _ := os.ReadFile(file) // a thread that is gone has none
		for _, field := range bytes.Fields(text) {
			line, _ := os.ReadFile("/proc/" + string(field) + "/cmdline")
			if bytes.Contains(line, []byte(has)) {
				child, _ := strconv.Atoi(string(field)) // the kernel writes numbers
				return child
			}
		}
	}
	return 0
}

// running counts the processes on this machine whose program is path.
func running(path string) (n int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == path {
			n++
		}
	}
	return n
}

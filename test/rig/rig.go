//go:build linux

// Package rig starts real deputies for tests: the three programs as they are
// built, on directories of the test's own, ended with all that they started.
package rig

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/client"
)

// Programs builds the programs named by their packages, like "./cmd/deputyd",
// once for each test binary, and gives the directory that they are in.
func Programs(t testing.TB) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var build = sync.OnceValues(func() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "deputy-bin-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // other users run programs in it
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/...", "./modules/portscan", "./test/hostile", "./test/cast", "./test/caller")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as they are shipped, also where the tests run with cgo
	if out, err := cmd.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("cannot build the programs: %w\n%s", err, out)
	}
	return dir, os.Rename(filepath.Join(dir, "portscan"), filepath.Join(dir, "deputy-portscan"))
})

// Clean removes what Programs built; TestMain calls it.
func Clean() {
	if dir, err := build(); err == nil {
		os.RemoveAll(dir)
	}
}

// Root is the folder of go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("cannot find go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// NeedRoot skips a test for an ordinary user. As root nothing is skipped.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: make test as root runs it")
	}
}

// Deputy is a running one.
type Deputy struct {
	t       testing.TB
	Config  string // directory
	State   string // directory
	Work    string // directory for what the tasks of a test read and write
	Socket  string
	Args    []string
	Env     []string
	Bin     string     // directory of its own deputyd and deputy-server; empty: that of Programs
	Passed  []*os.File // by a service manager, see Launch
	Names   []string   // of Passed
	Wrapper []string   // a command that executes the command after it
	Stderr  *os.File   // where it logs; nil: to what Log gives
	Cmd     *exec.Cmd  // the keeper
	log     *syncBuffer
	place   string // its cgroup, above daemon and tasks
	stopped bool
}

// Files is a configuration: names under the config directory and their texts.
type Files map[string]string

// Start writes a configuration and starts deputyd --up on it, with more
// arguments if there are. It returns once deputy answers, and ends it with the test.
func Start(t testing.TB, files Files, args ...string) *Deputy {
	t.Helper()
	d := New(t, files, args...)
	d.Start()
	return d
}

// New is Start without starting.
func New(t testing.TB, files Files, args ...string) *Deputy {
	t.Helper()
	base, err := os.MkdirTemp("", "deputy-t-") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &Deputy{
		t: t, Config: filepath.Join(base, "etc"), State: filepath.Join(base, "var"), Work: filepath.Join(base, "work"),
		Args: args, log: &syncBuffer{},
	}
	d.Socket = filepath.Join(d.State, "deputy.sock")
	d.Write(files)
	for _, dir := range []string{d.State, d.Work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(d.sweep)
	return d
}

// Write puts files into the configuration.
func (d *Deputy) Write(files Files) {
	d.t.Helper()
	for name, text := range files {
		path := filepath.Join(d.Config, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			d.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			d.t.Fatal(err)
		}
	}
}

// Start starts it, and waits until it answers.
func (d *Deputy) Start() {
	d.t.Helper()
	d.Launch()
	d.t.Cleanup(d.Stop)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	d.Answering(ctx)
}

// Launch starts it and waits for nothing. Passed descriptors are passed as a
// service manager does (sd_listen_fds(3)).
func (d *Deputy) Launch() {
	d.t.Helper()
	args := append([]string{"--config", d.Config, "--state", d.State}, d.Args...)
	if !contains(d.Args, "--installed") {
		args = append([]string{"--up"}, args...)
	}
	args = without(args, "--installed")
	wrapper := d.Wrapper
	if len(d.Passed) > 0 {
		wrapper = append([]string{"/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, wrapper...)
	}
	argv := append(append([]string{}, wrapper...), filepath.Join(cmp.Or(d.Bin, Programs(d.t)), "deputyd"))
	argv = append(argv, args...)
	d.Cmd = exec.Command(argv[0], argv[1:]...)
	d.Cmd.Env = append(os.Environ(), d.Env...)
	if d.Cmd.ExtraFiles = d.Passed; len(d.Passed) > 0 {
		d.Cmd.Env = append(d.Cmd.Env, fmt.Sprint("LISTEN_FDS=", len(d.Passed)), "LISTEN_FDNAMES="+strings.Join(d.Names, ":"))
	}
	d.Cmd.Stderr = d.log
	d.Cmd.Stdout = d.log
	if d.Stderr != nil {
		d.Cmd.Stderr = d.Stderr
	}
	// What holds our pipe open after the end is a task's child at most: do not
	// wait for it.
	d.Cmd.WaitDelay = 5 * time.Second
	d.stopped = false
	if err := d.Cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
}

// Answering waits until the API answers.
func (d *Deputy) Answering(ctx context.Context) {
	d.t.Helper()
	for {
		if _, err := d.Client().Health(ctx); err == nil {
			d.place = strings.TrimSuffix(Cgroup(d.Cmd.Process.Pid), "/daemon")
			return
		}
		if HasEnded(d.Cmd.Process.Pid) {
			d.t.Fatalf("deputy has ended; it said:\n%s", d.Log())
		}
		select {
		case <-ctx.Done():
			d.t.Fatalf("deputy does not answer; it said:\n%s", d.Log())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Stop ends it in good order and fails the test if that does not work.
func (d *Deputy) Stop() {
	if d.stopped || d.Cmd == nil {
		return
	}
	d.stopped = true
	d.Cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- d.Cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			d.t.Errorf("deputy ended with %v; it said:\n%s", err, d.Log())
		}
	case <-time.After(30 * time.Second):
		d.Cmd.Process.Kill()
		d.t.Errorf("deputy did not end within 30 s; it said:\n%s", d.Log())
	}
}

// Crash kills the keeper, the monitor and the server at once.
func (d *Deputy) Crash() {
	d.t.Helper()
	d.stopped = true
	monitor := d.Part("--role monitor")
	d.Cmd.Process.Kill()
	d.Cmd.Wait()
	Eventually(d.t, 10*time.Second, "the monitor ends when its keeper is gone", func() bool { return State(monitor) == "" || State(monitor) == "Z" })
}

// Command makes a command of deputy's own command line, that asks this deputy.
func (d *Deputy) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(Programs(d.t), "deputy"), args...)
	cmd.Env = append(os.Environ(), "DEPUTY_SOCKET="+d.Socket)
	return cmd
}

// Verify proves the journal with deputy's own command line.
func (d *Deputy) Verify() {
	d.t.Helper()
	if text, err := d.Command("audit", "verify", "--journal", filepath.Join(d.State, "journal")).CombinedOutput(); err != nil {
		d.t.Errorf("deputy audit verify: %v\n%s", err, text)
	}
}

// Events gives the journal's records of one type.
func (d *Deputy) Events(kind deputy.EventType) []deputy.Event {
	d.t.Helper()
	var list []deputy.Event
	for _, line := range d.Journal() {
		var e deputy.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			d.t.Fatalf("%v in %s", err, line)
		}
		if e.Type == kind {
			list = append(list, e)
		}
	}
	return list
}

// Client asks it as the user of the test.
func (d *Deputy) Client() *client.Client { return client.New(d.Socket) }

// Log is what it has said so far.
func (d *Deputy) Log() string { return d.log.String() }

// Journal gives the journal's lines.
func (d *Deputy) Journal() []string {
	d.t.Helper()
	files, err := filepath.Glob(filepath.Join(d.State, "journal", "*.jsonl"))
	if err != nil {
		d.t.Fatal(err)
	}
	var lines []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			d.t.Fatal(err)
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
	}
	return lines
}

// Part finds the PID of the monitor ("--role monitor") or the "deputy-server".
func (d *Deputy) Part(name string) int {
	d.t.Helper()
	for _, pid := range descendants(d.Cmd.Process.Pid) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(strings.ReplaceAll(string(text), "\x00", " "), name) {
			return pid
		}
	}
	return 0
}

func descendants(pid int) []int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		more, _ := os.ReadFile(file)
		text = append(append(text, ' '), more...)
	}
	var all []int
	for field := range strings.FieldsSeq(string(text)) {
		var child int
		fmt.Sscan(field, &child)
		if !has(all, child) {
			all = append(all, child)
			all = append(all, descendants(child)...)
		}
	}
	return all
}

func has(list []int, n int) bool {
	for _, m := range list {
		if m == n {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool { return len(without(list, s)) < len(list) }

func without(list []string, s string) []string {
	var rest []string
	for _, x := range list {
		if x != s {
			rest = append(rest, x)
		}
	}
	return rest
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Eventually waits until ok says true, for at most d.
func Eventually(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
		Pause()
	}
}

// Pause is the time between two looks at something that nobody tells of.
func Pause() { time.Sleep(2 * time.Millisecond) }

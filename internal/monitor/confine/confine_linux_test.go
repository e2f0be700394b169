package confine

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// cell is a prisoner and what is around it.
type cell struct {
	t        *testing.T
	confiner string // deputyd
	plan     Plan
	secrets  string // a directory that is none of its business
	victim   string // PID of a process of the same user
	open     net.Listener
}

func newCell(t *testing.T) *cell {
	t.Helper()
	if missing := Missing(); missing != "" {
		t.Skip("this kernel lacks " + missing)
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/", "deputy/cmd/deputyd", "./testdata/prisoner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := &cell{t: t, confiner: filepath.Join(dir, "deputyd"), secrets: filepath.Join(dir, "journal")}
	c.plan = Plan{
		Program: filepath.Join(dir, "prisoner"), UID: -1, GID: -1, Write: filepath.Join(dir, "history"),
		Read: []string{filepath.Join(dir, "tasks"), filepath.Join(dir, "absent")}, Ports: []int{freePort(t)},
	}
	for _, d := range []string{c.secrets, c.plan.Write, c.plan.Read[0]} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "file"), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sleep.Process.Kill(); sleep.Wait() })
	c.victim = strconv.Itoa(sleep.Process.Pid)
	var err error
	if c.open, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.open.Close() })
	return c
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// command is a prisoner that does one thing.
func (c *cell) command(confined bool, deed, arg string) *exec.Cmd {
	cmd := exec.Command(c.plan.Program)
	cmd.Env = append(os.Environ(), "DEED="+deed, "ARG="+arg)
	if confined {
		cmd = exec.Command(c.confiner, append([]string{"--role", "confine"}, c.plan.Args()...)...)
		cmd.Env = append(os.Environ(), "DEED="+deed, "ARG="+arg, "SEAL=1")
	}
	return cmd
}

// outcome is how a deed ended.
type outcome string

const (
	works   outcome = "works"
	refused outcome = "is refused"
	killed  outcome = "kills it by SIGSYS"
)

func (c *cell) try(confined bool, deed, arg string) (outcome, string) {
	c.t.Helper()
	out, err := c.command(confined, deed, arg).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return works, ""
	case errors.As(err, &exit) && KilledByFilter(exit.ProcessState):
		return killed, string(out)
	case errors.As(err, &exit) && exit.ExitCode() == 3:
		return refused, string(out)
	}
	c.t.Fatalf("%s %s: %v\n%s", deed, arg, err, out)
	return "", ""
}

// deed is what a prisoner does.
type deed struct {
	name, arg string
	want      outcome
	plainly   bool // it works unconfined
}

// What a server that was taken over would try fails, and works where nothing
// confines it.
func TestPrisoner(t *testing.T) {
	c := newCell(t)
	other := strconv.Itoa(freePort(t))
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	root := os.Geteuid() == 0
	task, history := c.plan.Read[0], c.plan.Write
	deeds := []deed{
		{"work", history, works, true},
		{"read", task + "/file", works, true},
		{"read", "/proc/self/cgroup", works, true},
		{"read", "/proc/" + c.victim + "/cgroup", works, true},
		{"read", history + "/file", works, true},
		{"list", history, works, true},
		{"write", history + "/new", works, true},
		{"remove", history + "/new", works, false}, // it is gone
		{"bind", strconv.Itoa(c.plan.Ports[0]), works, true},

		{"read", c.secrets + "/file", refused, true},
		{"read", "/etc/passwd", refused, true},
		{"read", "/etc/shadow", refused, root},
		{"read", "/proc/" + c.victim + "/environ", refused, true},
		{"list", task, refused, true},
		{"write", task + "/file", refused, true},
		{"write", task + "/new", refused, true},
		{"write", c.secrets + "/file", refused, true},
		{"write", c.plan.Program, refused, false}, // it is being executed
		{"remove", task + "/new", refused, true},
		{"link", history + "/link", refused, true},
		{"openat", "644 " + history + "/made", works, true},
		{"fchmod", "644 " + history + "/file", works, true},
		{"fchmodat", "4755 " + history + "/file", refused, true},
		{"fchmodat2", "4755 " + history + "/file", refused, true},
		{"openat2", "4755 " + history + "/made2", refused, true},
		{"mkdirat", "2755 " + history + "/folder", refused, true},
		{"mknodat", "4755 " + history + "/node", refused, true},
		{"bind", other, refused, true},
		{"mptcp", "", refused, true},
		{"udp", "", refused, true},
		{"unix", "", refused, true},
		{"netlink", "", refused, true},
		{"clone3", "", refused, true},
		{"limits", c.victim, refused, true},

		{"connect", c.open.Addr().String(), killed, true},
		{"openat", "4755 " + history + "/set-user", killed, true},
		{"openat", "2755 " + history + "/set-group", killed, true},
		{"openat", "1644 " + history + "/sticky", killed, true},
		{"unnamed", "4755 " + history, killed, true},
		{"fchmod", "4755 " + history + "/file", killed, true},
		{"fchmod", "2644 " + history + "/file", killed, true},
		{"fchmod", "666 " + history + "/file", killed, true},
		{"fchmod", "711 " + history, killed, true}, // the folder itself, for others to enter
		{"exec", "/bin/true", killed, true},
		{"exec", c.plan.Program, killed, false}, // it does not do anything
		{"fork", "", killed, true},
		{"ptrace", c.victim, killed, true},
		{"peek", c.victim, killed, true},
		{"kill", c.victim, killed, true},
		{"pidfd", c.victim, killed, true},
		{"setuid", "65534", killed, root},
		{"unshare", "", killed, root},
		{"mount", history, killed, false},
		{"code", "", killed, true},
		{"code later", "", killed, true},
		{"memfd", "", killed, true},
		{"keys", "", killed, true},
		{"filter", "", killed, false}, // one that is not confined does not seal itself
	}
	if runtime.GOARCH == "amd64" {
		deeds = append(deeds,
			deed{"open", "600 " + history + "/made", works, true},
			deed{"open", "4755 " + history + "/older", killed, true},
			deed{"creat", "4755 " + history + "/third", refused, true},
			deed{"chmod", "4755 " + history + "/file", refused, true},
			deed{"mkdir", "2755 " + history + "/second", refused, true},
			deed{"mknod", "4755 " + history + "/node2", refused, true},
		)
	}
	for _, d := range deeds {
		if d.plainly {
			if got, said := c.try(false, d.name, d.arg); got != works {
				t.Errorf("unconfined, %s %s %s: %s", d.name, d.arg, got, said)
			}
		}
		if got, said := c.try(true, d.name, d.arg); got != d.want {
			t.Errorf("confined, %s %s %s; want that it %s: %s", d.name, d.arg, got, d.want, said)
		}
	}
	// Without a door on a network there is no socket at all.
	c.plan.Ports = nil
	if got, _ := c.try(true, "bind", "0"); got == works {
		t.Error("a server without doors can listen")
	}
}

// Prove tells a process that is confined from one that is not, or not wholly.
func TestProve(t *testing.T) {
	c := newCell(t)
	for _, p := range []struct {
		name     string
		confined bool
		env      string
		want     string // of the error; "": none
	}{
		{"whole", true, "SEAL=1", ""},
		{"not sealed", true, "SEAL=", "Seccomp_filters"},
		{"not at all", false, "", "the server is not confined"},
	} {
		cmd := c.command(p.confined, "wait", "")
		cmd.Env = append(cmd.Env, p.env)
		if got := c.proved(cmd, c.plan); (p.want == "") != (got == nil) || got != nil && !strings.Contains(got.Error(), p.want) {
			t.Errorf("%s: %v, want %q", p.name, got, p.want)
		}
	}
}

// As root it is the server's user, with no group of root's and no bounds to grow into.
func TestProveIdentity(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: make test as root runs it")
	}
	c := newCell(t)
	for dir := filepath.Dir(c.plan.Program); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.plan.UID, c.plan.GID = 65533, 65532
	if err := c.proved(c.command(true, "wait", ""), c.plan); err != nil {
		t.Error(err)
	}
	wrong := c.plan
	wrong.GID = 0
	if err := c.proved(c.command(true, "wait", ""), wrong); err == nil || !strings.Contains(err.Error(), "Gid") {
		t.Errorf("a server of another group is proved: %v", err)
	}
}

// proved starts a prisoner that waits, and proves it.
func (c *cell) proved(cmd *exec.Cmd, p Plan) error {
	c.t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd.Stderr = c.t.Output()
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		c.t.Fatalf("%q, %v", line, err)
	}
	return Prove(cmd.Process.Pid, p)
}

// What cannot be confined is not started, and the reason and remedy are said.
func TestRefused(t *testing.T) {
	c := newCell(t)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	good := c.plan
	for _, r := range []struct {
		change func(p *Plan)
		want   string
	}{
		{func(p *Plan) { p.Program = "/bin/ls" }, "CGO_ENABLED=0"},
		{func(p *Plan) { p.Program = "/nothing/there" }, "no such file"},
		{func(p *Plan) { p.Program = text }, "permission denied"}, // its interpreter is not in the plan
		{func(p *Plan) { p.Program = "relative" }, "without a plan"},
		{func(p *Plan) { p.Write = "/nothing/there" }, "cannot allow /nothing/there"},
		{func(p *Plan) { p.Ports = []int{70000} }, "70000"},
	} {
		c.plan = good
		r.change(&c.plan)
		out, err := c.command(true, "work", "").CombinedOutput()
		if err == nil || !strings.Contains(string(out), r.want) || !strings.Contains(string(out), "confine = false") {
			t.Errorf("%v, %s; want %q", err, out, r.want)
		}
	}
}

func TestArgs(t *testing.T) {
	p := Plan{Program: "/bin/x", UID: 3, GID: 4, Write: "/w", Read: []string{"/r", "--read", "/a b"}, Ports: []int{1, 65535}}
	got, err := parse(append([]string{"--role", "confine"}, p.Args()...))
	if err != nil || fmt.Sprint(got) != fmt.Sprint(p) || !slices.Equal(got.Read, p.Read) {
		t.Errorf("%v: %+v, want %+v", err, got, p)
	}
}

//go:build linux

package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is a booted one. It has no network but its own loopback.
type Machine struct {
	t       testing.TB
	nspawn  *exec.Cmd
	ended   chan struct{} // closed when nspawn has
	leader  int           // PID, here, of its PID 1
	console string        // file
}

// halt is SIGRTMIN+4, which has systemd halt (systemd(1)).
const halt = syscall.Signal(34 + 4)

// spawn runs in mount and PID namespaces of its own, as number 1: whatever ends it
// ends and unmounts all. It leaves the machine Landlock, which nspawn takes away.
// Its arguments: the tree, a directory for the mounts, then the machine's cgroups and
// what it shares, as options of nspawn in which WORK is that directory.
const spawn = `set -e
tree=$1 work=$2
shift 2
mount -t proc proc /proc
shares=
for word; do
	case $word in
	--*) shares="$shares $(printf %s "$word" | sed "s|WORK|$work|g")" ;;
	*) echo $$ >"$word/cgroup.procs" ;;
	esac
done
mount -t tmpfs -o mode=0755,size=2g machine "$work"
mkdir "$work/upper" "$work/work" "$work/root" "$work/shared"
for n in 0 1 2 3 4 5 6 7 8 9; do mkdir "$work/shared/$n"; done
for share in $shares; do mkdir -p "$work/upper${share##*:}"; done
mount -t overlay -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --register=no --keep-unit --machine=deputy-test --directory="$work/root" \
	--boot --console=pipe --link-journal=no --private-network \
	"--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self" $shares`

// Boot boots one whose tree has these Debian packages beside the least. It is
// halted with the test; if that has failed its console and its journal are shown.
// What it writes is kept in memory and gone with it.
func Boot(t testing.TB, packages ...string) *Machine {
	t.Helper()
	return BootWith(t, nil, packages...)
}

// Shared is a folder of this computer that a machine has, too: it reads it, and what it
// writes there is its own and gone with it. Neither path has blanks.
type Shared struct{ Here, There string }

// BootWith is Boot for a machine that shares folders.
func BootWith(t testing.TB, shared []Shared, packages ...string) *Machine {
	t.Helper()
	base, err := tree(packages)
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	groups, err := makeCgroups(filepath.Base(filepath.Dir(work)) + "-" + filepath.Base(work)) // a test may boot several
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{t: t, ended: make(chan struct{}), console: filepath.Join(t.TempDir(), "console")}
	console, err := os.Create(m.console)
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	args := append([]string{"-c", spawn, "spawn", base, work}, groups...)
	for i, s := range shared {
		args = append(args, fmt.Sprintf("--overlay=%s:WORK/shared/%d:%s", s.Here, i, s.There))
	}
	m.nspawn = exec.Command("/bin/sh", args...)
	m.nspawn.Stdout, m.nspawn.Stderr = console, console
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := m.start(); err != nil {
		groups.remove()
		t.Fatal(err)
	}
	t.Cleanup(func() { m.halt(); groups.remove() })
	m.wait("its PID 1 is there", func() bool { m.leader = m.findLeader(); return m.leader != 0 })
	m.wait("it has booted", func() bool {
		state, _ := m.Try("systemctl", "is-system-running")
		state = strings.TrimSpace(state)
		return state == "running" || state == "degraded" // by a unit that this computer does not let run
	})
	return m
}

// start starts nspawn from a thread that lives as long: the end of that thread,
// however it comes, is the end of the machine (prctl(2), PR_SET_PDEATHSIG).
func (m *Machine) start() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(m.ended)
		err := m.nspawn.Start()
		started <- err
		if err == nil {
			_ = m.nspawn.Wait() // how it ended the console tells
		}
	}()
	return <-started
}

// wait waits until ok, for at most a minute, or until the machine has ended.
func (m *Machine) wait(what string, ok func() bool) {
	m.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-m.ended:
			m.t.Fatalf("the machine has ended before: %s; its console:\n%s", what, m.Console())
		default:
		}
		if time.Now().After(end) {
			units, _ := m.Try("systemctl", "--no-pager", "--failed")
			m.t.Fatalf("not within a minute: %s; its console:\n%s\n%s", what, m.Console(), units)
		}
	}
}

// findLeader finds the child of nspawn that is number 1 in a PID namespace below.
func (m *Machine) findLeader() int {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.nspawn.Process.Pid))
	for child := range strings.FieldsSeq(string(children)) {
		numbers := namespacePIDs("/proc/" + child)
		if len(numbers) > 0 && numbers[len(numbers)-1] == "1" {
			pid, _ := strconv.Atoi(child) // the kernel writes numbers there
			return pid
		}
	}
	return 0
}

func (m *Machine) halt() {
	if m.t.Failed() {
		m.t.Logf("the machine's console:\n%s", m.Console())
		if m.leader != 0 {
			text, _ := m.Try("journalctl", "--no-pager", "--lines=300", "--output=short-precise")
			m.t.Logf("the machine's journal:\n%s", text)
		}
	}
	if m.leader != 0 {
		_ = unix.Kill(m.leader, halt)
		select {
		case <-m.ended:
			return
		case <-time.After(20 * time.Second):
			m.t.Errorf("the machine did not halt within 20 s; its console:\n%s", m.Console())
		}
		_ = unix.Kill(m.leader, unix.SIGKILL)
	}
	_ = m.nspawn.Process.Kill()
	<-m.ended
}

// Console is what systemd and its units wrote there.
func (m *Machine) Console() string {
	text, _ := os.ReadFile(m.console)
	return string(text)
}

// Path is a file of the machine as this computer reaches it.
func (m *Machine) Path(name string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.leader), name)
}

// PID is how this computer numbers a process of the machine; 0: there is none.
func (m *Machine) PID(inside string) int {
	namespace, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.leader))
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		numbers := namespacePIDs(process)
		if len(numbers) == 0 || numbers[len(numbers)-1] != inside {
			continue
		}
		if its, _ := os.Readlink(process + "/ns/pid"); its == namespace {
			pid, _ := strconv.Atoi(filepath.Base(process))
			return pid
		}
	}
	return 0
}

// namespacePIDs are the numbers of a process, from this computer's on inwards
// (NSpid in proc_pid_status(5)).
func namespacePIDs(process string) []string {
	status, _ := os.ReadFile(process + "/status") // one that has ended has none
	for line := range strings.Lines(string(status)) {
		if numbers, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return strings.Fields(numbers)
		}
	}
	return nil
}

// Command makes a command that runs in the machine, as root and outside any unit.
func (m *Machine) Command(ctx context.Context, argv ...string) *exec.Cmd {
	enter := []string{"--target", fmt.Sprint(m.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd=/", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, argv...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root", "SYSTEMD_COLORS=0"}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Try runs a command for at most a minute; the text is its stdout and stderr.
func (m *Machine) Try(argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	text, err := m.Command(ctx, argv...).CombinedOutput()
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	return string(text), err
}

// Run is Try for a command that must succeed; the text is its stdout.
func (m *Machine) Run(argv ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := m.Command(ctx, argv...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("%q: %v\n%s%s", argv, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// Copy copies a file of this computer into the machine, with its mode. A program
// that runs there under this name goes on with what it was started from.
func (m *Machine) Copy(from, to string) {
	m.t.Helper()
	if err := m.copy(from, m.Path(to)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *Machine) copy(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}

// Write writes a file in the machine, and the folders above it.
func (m *Machine) Write(name, text string, mode os.FileMode) {
	m.t.Helper()
	path := m.Path(name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), mode)
	}
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

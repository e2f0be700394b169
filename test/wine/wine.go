//go:build linux

// Package wine runs Windows programs for tests, under Wine in a Debian of their
// own. Everything runs in a PID and a mount namespace, which end with the test;
// 127.0.0.1 is the machine's own.
package wine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Machine is a Windows that runs. Its drive C is new; Share is its drive W.
type Machine struct {
	Share string // a directory of ours
	dir   string // of the tree
	init  int    // PID of the namespaces' first process
	end   func() error
	runs  int
}

// Start makes a Machine. The caller ends it by Close.
func Start() (*Machine, error) {
	dir, err := tree()
	if err != nil {
		return nil, err
	}
	own, err := os.MkdirTemp("", "deputy-wine-")
	if err != nil {
		return nil, err
	}
	m := &Machine{Share: filepath.Join(own, "share"), dir: dir}
	for _, sub := range []string{"share", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(own, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if err := m.boot(own); err != nil {
		m.Close()
		os.RemoveAll(own)
		return nil, fmt.Errorf("cannot start Wine: %w", err)
	}
	return m, nil
}

// begin is the namespaces' first process. The share is drive W, by which what is
// tested has a short path.
const begin = `
mount --make-rprivate /
mount -t proc proc "$TREE/root/proc"
mount --bind /dev "$TREE/root/dev"
mount -t tmpfs tmpfs "$TREE/root/mnt"
mkdir "$TREE/root/mnt/prefix" "$TREE/root/mnt/share"
mount -t overlay overlay -o "lowerdir=$TREE/prefix,upperdir=$OWN/upper,workdir=$OWN/work" "$TREE/root/mnt/prefix"
mount --bind "$OWN/share" "$TREE/root/mnt/share"
ln -s /mnt/share "$TREE/root/mnt/prefix/dosdevices/w:"
exec chroot "$TREE/root" sh -c ': >/mnt/share/booted; while :; do sleep 3600; done'
`

func (m *Machine) boot(own string) error {
	log, err := os.Create(filepath.Join(own, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", begin)
	c.Env = append(os.Environ(), "TREE="+m.dir, "OWN="+own)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves nothing
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // whose end the signal is for
		err := c.Start()
		started <- err
		if err == nil {
			ended <- c.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	m.end = func() error {
		_ = c.Process.Kill() // --kill-child ends the rest
		<-ended
		return os.RemoveAll(own)
	}
	booted := filepath.Join(m.Share, "booted")
	if err := waitFor(30*time.Second, func() bool { _, err := os.Stat(booted); return err == nil }); err != nil {
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w: %s", err, said)
	}
	if m.init, err = childOf(c.Process.Pid); err != nil {
		return err
	}
	// Without a server that stays, services end with the program that started them.
	return m.native(2*time.Minute, "/usr/lib/wine/wineserver", "-p")
}

// childOf gives the one child of a process.
func childOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// Close ends everything that runs and removes all but the tree.
func (m *Machine) Close() error {
	if m.end == nil {
		return nil
	}
	var failed error
	if m.init != 0 {
		failed = m.native(30*time.Second, "/usr/lib/wine/wineserver", "-k")
	}
	return errors.Join(failed, m.end())
}

func (m *Machine) native(atMost time.Duration, argv ...string) error {
	_, out, err := m.run(atMost, argv)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}

// run runs a program of the tree. Its output goes to a file and not a pipe,
// because services inherit it and never close it.
func (m *Machine) run(atMost time.Duration, argv []string) (code int, out string, err error) {
	m.runs++
	name := filepath.Join(m.Share, fmt.Sprintf("out-%d.log", m.runs))
	file, err := os.Create(name)
	if err != nil {
		return -1, "", err
	}
	defer file.Close()
	defer os.Remove(name)
	ctx, cancel := context.WithTimeout(context.Background(), atMost)
	defer cancel()
	enter := []string{"-t", strconv.Itoa(m.init), "--mount", "--pid", "chroot", filepath.Join(m.dir, "root"), "env", "-i", "-C", "/mnt/share"}
	enter = append(append(enter, strings.Fields(environment)...), "WINEPREFIX=/mnt/prefix")
	c := exec.CommandContext(ctx, "nsenter", append(enter, argv...)...)
	c.Stdout, c.Stderr = file, file
	err = c.Run()
	said, _ := os.ReadFile(name)
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not end within %v", atMost)
	}
	return c.ProcessState.ExitCode(), string(said), err
}

// Run runs a Windows program and waits for it. Only the last eight bits of its
// exit code come through.
func (m *Machine) Run(t testing.TB, atMost time.Duration, argv ...string) (code int, out string) {
	t.Helper()
	code, out, err := m.run(atMost, append([]string{"/usr/lib/wine/wine64"}, argv...))
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, tail(out, 100))
	}
	return code, out
}

// Do is Run of what must succeed.
func (m *Machine) Do(t testing.TB, argv ...string) string {
	t.Helper()
	code, out := m.Run(t, 2*time.Minute, argv...)
	if code != 0 {
		t.Fatalf("%s: exit code %d\n%s", strings.Join(argv, " "), code, tail(out, 100))
	}
	return out
}

// Build builds Windows programs into the share.
func (m *Machine) Build(t testing.TB, packages ...string) {
	t.Helper()
	m.goTool(t, append([]string{"build", "-o", m.Share + "/"}, packages...)...)
}

// BuildTest builds the tests of a package as a program of the share.
func (m *Machine) BuildTest(t testing.TB, pkg, name string) {
	t.Helper()
	m.goTool(t, "test", "-c", "-o", filepath.Join(m.Share, name), pkg)
}

func (m *Machine) goTool(t testing.TB, args ...string) {
	t.Helper()
	c := exec.Command("go", args...)
	c.Dir = "../.."
	c.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func waitFor(atMost time.Duration, done func() bool) error {
	for end := time.Now().Add(atMost); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return nil
		}
	}
	return fmt.Errorf("it did not come about within %v", atMost)
}

// Path is where this machine's kernel shows a file of drive C.
func (m *Machine) Path(onC string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root/mnt/prefix/drive_c", m.init), filepath.FromSlash(onC))
}

// Processes counts the processes of the machine whose command line ends in args,
// as the kernel below Wine sees them.
func (m *Machine) Processes(args ...string) (pids []int) {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.init))
	if err != nil {
		return nil
	}
	entries, _ := os.ReadDir("/proc") // a process that ends meanwhile is none
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); ns != own {
			continue
		}
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.HasSuffix(strings.TrimRight(string(line), "\x00"), strings.Join(args, "\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

const logModule = `
[allow]
users = ["uid:UID"]
[action.true]
command = ["/bin/true"]
[action.long]
command = ["/bin/sleep", "1000"]
`

// unread is a pipe for a log that nobody reads, as small as one can be.
func unread(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	return r, w
}

// healthz is what /healthz says.
type healthz struct {
	Status     string
	LogDropped uint64 `json:"log_dropped"`
}

func health(t *testing.T, d *rig.Deputy) (h healthz) {
	t.Helper()
	d.Self().Do("GET", "/healthz", "").Read(t, 200, &h)
	return h
}

// calls has n tasks done, one after the other.
func calls(t *testing.T, d *rig.Deputy, n int) {
	t.Helper()
	c := d.Self()
	for range n {
		if task := c.Ended(c.Started("m/true", "{}").ID); task.State != deputy.Succeeded {
			t.Fatalf("%s: %s", task.State, reason(task))
		}
	}
}

// A log that nobody reads holds up neither keeper nor monitor nor server, nor
// whoever takes their place; read at last it has all lines, in order.
func TestALogThatNobodyReads(t *testing.T) {
	r, w := unread(t)
	d := prepare(t, logModule, nil)
	d.Stderr = w
	d.Start()
	const n = 40
	calls(t, d, n)
	for _, part := range []string{"deputy-server", "--role monitor"} {
		old := d.Part(part)
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, time.Minute, "another "+part, func() bool { now := d.Part(part); return now != 0 && now != old })
		answering(t, d)
		calls(t, d, n)
	}
	if h := health(t, d); h.Status != "ok" || h.LogDropped != 0 {
		t.Errorf("%+v", h)
	}
	ended := make(chan struct{})
	var said []string
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			said = append(said, lines.Text())
		}
	}()
	d.Stop()
	w.Close()
	<-ended
	whole := strings.Join(said, "\n")
	accepted := regexp.MustCompile(`m/true allowed by`).FindAllString(whole, -1)
	// What waited for the log when its process was killed is gone.
	if len(accepted) < n || !strings.Contains(whole, "the monitor ended (SIGKILL)") {
		t.Errorf("%d tasks were accepted, of %d behind the last kill; the log:\n%s", len(accepted), n, whole)
	}
	for _, line := range said {
		if !strings.Contains(line, "deputyd: ") && !strings.Contains(line, "program=deputy-server") {
			t.Errorf("a line of nobody's: %q", line)
		}
	}
}

// A terminal that was stopped, as by Ctrl-S, holds nobody up.
func TestALogOnAStoppedTerminal(t *testing.T) {
	master, terminal := pty(t)
	d := prepare(t, logModule, nil)
	d.Stderr = terminal
	const stop, goOn = "\x13", "\x11" // Ctrl-S, Ctrl-Q
	if _, err := io.WriteString(master, stop); err != nil {
		t.Fatal(err)
	}
	d.Start()
	calls(t, d, 20)
	if h := health(t, d); h.Status != "ok" {
		t.Errorf("%+v", h)
	}
	if _, err := io.WriteString(master, goOn); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for lines := bufio.NewScanner(master); seen < 20 && lines.Scan(); {
		if strings.Contains(lines.Text(), "m/true succeeded") {
			seen++
		}
	}
	if seen < 20 {
		t.Errorf("%d ends were logged", seen)
	}
}

func pty(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return master, terminal
}

// `deputy up 2>&1 | tee`: Ctrl-C ends tee, too, and so the log. Every task is
// stopped all the same, and nothing is left.
func TestALogThatWasClosed(t *testing.T) {
	r, w := unread(t)
	d := prepare(t, logModule, nil)
	cmd := exec.Command(filepath.Join(rig.Programs(t), "deputy"), "up", "--config", d.Config, "--state", d.State)
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	w.Close()
	d.Cmd = cmd
	d.Answering(t.Context())
	c := d.Self()
	long := running(t, c, c.Started("m/long", "{}").ID)
	r.Close()
	calls(t, d, 1)
	rig.Eventually(t, 10*time.Second, "/healthz counts what is lost", func() bool { return health(t, d).LogDropped > 0 })
	if said, err := d.Command("status").CombinedOutput(); err != nil || !strings.Contains(string(said), "lines were lost: the log could not be written") {
		t.Errorf("deputy status: %v\n%s", err, said)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	err := cmd.Wait()
	ended = true
	if err != nil {
		t.Errorf("deputy up: %v", err)
	}
	if pids := rig.Living(long.ID); len(pids) > 0 {
		t.Errorf("%v of the task live", pids)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// A monitor whose keeper died ends, and gives the journal back, whatever becomes
// of its log.
func TestALogThatNobodyReadsWhenTheKeeperDies(t *testing.T) {
	_, w := unread(t)
	d := prepare(t, logModule, nil)
	d.Stderr = w
	d.Start()
	calls(t, d, 40)
	d.Crash()
	d.Stderr = nil
	d.Start()
	calls(t, d, 1)
}

// /healthz asks the loop: a monitor that does not go round is not healthy.
func TestAMonitorThatHangsIsNotHealthy(t *testing.T) {
	d := begin(t, logModule, nil)
	c := d.Self()
	c.Do("GET", "/healthz", "") // now it is connected, which the monitor's is to do
	monitor := d.Part("--role monitor")
	if err := syscall.Kill(monitor, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(monitor, syscall.SIGCONT)
	began := time.Now()
	a, err := c.Try("GET", "/healthz", "")
	if took := time.Since(began); err != nil || a.Status != 503 || took > 10*time.Second {
		t.Errorf("status %d after %v: %v %s", a.Status, took, err, a.Body)
	}
	if err := syscall.Kill(monitor, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	health(t, d)
}

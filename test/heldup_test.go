//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// holdUp opens a task's stdout anew, and when it is told to writes to it from a page of a file.
const holdUp = `
import mmap, os, sys
page = mmap.mmap(os.open(sys.argv[2], os.O_RDONLY), 4096, mmap.MAP_SHARED, mmap.PROT_READ)
out = os.open("/proc/%s/fd/1" % sys.argv[1], os.O_WRONLY | os.O_APPEND)
print("ready", flush=True)
sys.stdin.readline()
os.write(out, page)
`

// accomplice runs holdUp as the user of a task; write has it write.
func accomplice(t *testing.T, pid int, page string) (process int, write func()) {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "-c", holdUp, fmt.Sprint(pid), page)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 2, Gid: 2, Groups: []uint32{}}}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		go cmd.Wait() // it dies when the mount is closed
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the accomplice says %q, %v", line, err)
	}
	return cmd.Process.Pid, func() { _, _ = io.WriteString(in, "\n") }
}

// The kernel keeps a file locked while somebody writes to it from memory that a file system, which
// does not answer, has yet to read. Whoever does so to a task's output holds up that task's end alone.
func TestAnOutputThatIsHeldUpHoldsUpNobody(t *testing.T) {
	rig.NeedRoot(t)
	module := strings.Replace(outputFilesModule, "[action.brief]", "[action.waits]\ncommand = [\"/bin/sh\", \"-c\", 'echo begun; until [ -e WORK/go ]; do sleep 0.1; done']\n[action.brief]", 1)
	d := prepare(t, module, rig.Files{"deputy.toml": installed}, "--installed")
	page := filepath.Join(d.Work, "there", "page")
	if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
		t.Fatal(err)
	}
	mount := rig.NewMount(t, filepath.Dir(page), 0, map[string]string{"page": strings.Repeat("x", 4096)})
	d.Start()
	c := d.As(2)
	var held []deputy.Task
	var writes []func()
	var writers []int
	for range 3 { // more than there are workers
		task := c.Started("m/waits", "")
		rig.Eventually(t, 30*time.Second, "the task writes", func() bool { return c.Stdout(task.ID) == "begun\n" })
		pids := strings.Fields(readFile(t, filepath.Join(d.Leaf(running(t, c, task.ID)), "cgroup.procs")))
		var pid int
		fmt.Sscan(pids[0], &pid)
		writer, write := accomplice(t, pid, page)
		held, writes, writers = append(held, task), append(writes, write), append(writers, writer)
	}
	mount.Hang()
	for i, write := range writes {
		write()
		rig.Eventually(t, 30*time.Second, "the accomplice hangs", func() bool {
			return strings.Contains(readFile(t, fmt.Sprintf("/proc/%d/stack", writers[i])), "fault_in")
		})
	}
	if err := os.WriteFile(filepath.Join(d.Work, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	other := d.As(3)
	for range 20 {
		if task := other.Ended(other.Started("m/brief", "").ID); task.State != deputy.Succeeded {
			t.Errorf("another's task: %s, %s", task.State, reason(task))
		}
	}
	for _, path := range []string{"/v1/tasks", "/v1/tasks/" + held[0].ID, "/v1/tasks/" + held[0].ID + "/stdout"} {
		if a := c.Do("GET", path, ""); a.Status != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, a.Status, a.Body)
		}
	}
	if a := d.Self().Do("POST", "/v1/upgrade", ""); a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "try again") {
		t.Errorf("an upgrade meanwhile: %d %s", a.Status, a.Body)
	}
	mount.Answer()
	for _, task := range held {
		if task = c.Ended(task.ID); task.State != deputy.Succeeded {
			t.Errorf("once its output is let go: %s, %s", task.State, reason(task))
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

//go:build linux

package machine_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deputy/test/rig"
	"deputy/test/systemd/machine"
)

// The machine is what the tests that use it take it for: systemd is its PID 1,
// its cgroups are v2 alone, files get in, and nothing of it is left.
func TestMachine(t *testing.T) {
	rig.NeedRoot(t)
	before := mounts(t)
	t.Run("booted", func(t *testing.T) {
		m := machine.Boot(t)
		if name := m.Run("cat", "/proc/1/comm"); name != "systemd\n" {
			t.Errorf("PID 1 is %q", name)
		}
		if kind := m.Run("stat", "-f", "-c", "%T", "/sys/fs/cgroup"); kind != "cgroup2fs\n" {
			t.Errorf("its cgroup file system is %q", kind)
		}
		m.Write("/usr/local/bin/told", "#!/bin/sh\necho told $1\n", 0o755)
		script := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(script, []byte("#!/bin/sh\nexec told $1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		m.Copy(script, "/usr/local/bin/script")
		if text := m.Run("systemd-run", "--quiet", "--pipe", "--wait", "/usr/local/bin/script", "it"); text != "told it\n" {
			t.Errorf("a unit's output is %q", text)
		}
		if text, err := m.Try("false"); err == nil {
			t.Errorf("a command that fails does not: %s", text)
		}
	})
	if after := mounts(t); after != before {
		t.Errorf("mounts are left:\n%s", after)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/deputy-test-*-TestMachine*"); len(left) > 0 {
		t.Errorf("cgroups are left: %q", left)
	}
}

// TestKilled: a test that is killed takes its machine with it.
func TestKilled(t *testing.T) {
	rig.NeedRoot(t)
	const waits = "DEPUTY_TEST_WAITS"
	if os.Getenv(waits) != "" {
		m := machine.Boot(t)
		fmt.Println("machine", m.Run("readlink", "/proc/1/ns/pid"))
		select {} // for the SIGKILL
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), waits+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var namespace string
	_, err = fmt.Fscanf(out, "machine %s", &namespace)
	if err = errors.Join(err, cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	rig.Eventually(t, time.Minute, "nothing of the machine lives", func() bool {
		links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
		return !slices.ContainsFunc(links, func(link string) bool {
			its, _ := os.Readlink(link)
			return its == namespace
		})
	})
}

// mounts lists what is mounted here for machines.
func mounts(t *testing.T) string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var own strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "TestMachine") {
			own.WriteString(line)
		}
	}
	return own.String()
}

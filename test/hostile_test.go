//go:build linux

// Package test holds the tests that run the real programs together.
package test

import (
	"encoding/json"
	"fmt"
	"net"
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

// A caller without rights but one is connected; the server has been taken over.
const hostileModule = `
name = "m"
[action.ok]
command = ["/bin/true", "{text}"]
params.text = { type = "string", maxLength = 20 }
[[action.ok.allow]]
users = ["uid:1"]

[action.forbidden]
command = ["/usr/bin/touch", "--", "{text}"]
params.text = { type = "string" }
[[action.forbidden.allow]]
users = ["uid:0"]
`

const holdArgument = "hold-a-connection"

// hold connects to a socket and stays.
func hold(path string) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	conn.Read(make([]byte, 1))
}

// holdAs connects to deputy as another user, until the test ends.
func holdAs(t *testing.T, uid uint32, socket string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "hold")
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(program); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	cmd := exec.Command(program, holdArgument, socket)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{}}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

type hostileReport struct {
	Sent, Accepted, PeerUID int
	Answers                 map[string]int
}

// attack starts deputy with a taken-over server and one connected caller, uid 1.
// Nothing confines the server: what is tried is what the wall alone keeps out.
func attack(t *testing.T, mode string) (*rig.Deputy, string) {
	t.Helper()
	return attackAs(t, "deputy-server", mode, "[server]\nconfine = false\n")
}

func attackAs(t *testing.T, name, mode, config string) (*rig.Deputy, string) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, name)
	if out, err := exec.Command("cp", filepath.Join(rig.Programs(t), "hostile"), program).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	if err := os.WriteFile(program+".mode", []byte(mode), 0o644); err != nil {
		t.Fatal(err)
	}
	d := rig.New(t, rig.Files{
		"modules.d/m.toml": hostileModule,
		"deputy.toml":      "[defaults]\nper_caller = { live = 100000, rate = \"100000/s\", connections = 256 }\n" + config,
	}, "--server", program)
	d.Launch()
	t.Cleanup(d.Stop)
	return d, program
}

func await(t *testing.T, d *rig.Deputy, program string, patience time.Duration) hostileReport {
	t.Helper()
	var report hostileReport
	rig.Eventually(t, patience, "the taken-over server has sent all it had", func() bool {
		text, err := os.ReadFile(program + ".report")
		if err != nil {
			if strings.Contains(d.Log(), "server is gone") {
				t.Fatalf("the monitor killed a server that kept to the protocol:\n%s", tail(d.Log()))
			}
			return false
		}
		return json.Unmarshal(text, &report) == nil
	})
	return report
}

// peak is the most memory that a process had at any time, in bytes.
func peak(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib := 0
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

// onlyWhatUID1May checks every record of something that ran.
func onlyWhatUID1May(t *testing.T, d *rig.Deputy) (accepted int) {
	t.Helper()
	for _, line := range d.Journal() {
		var e deputy.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if e.Type != deputy.Accepted {
			continue
		}
		accepted++
		if e.Caller != "uid:1" || e.Module != "m" || e.Action != "ok" {
			t.Fatalf("accepted for a caller that could not ask for it: %s", line)
		}
		if text, _ := e.Tasks[0].Params["text"].(string); strings.HasPrefix(text, "-") || strings.ContainsAny(text, "\n\x00") || len(text) > 20 {
			t.Fatalf("accepted with values outside the declared ones: %s", line)
		}
	}
	return accepted
}

func TestHostileServerSendsWellFormedMessages(t *testing.T) {
	rig.NeedRoot(t)
	many := rig.Many(t, 100_000)
	d, program := attack(t, fmt.Sprint("hostile ", many))
	rig.Eventually(t, 10*time.Second, "the monitor listens", func() bool { _, err := os.Stat(d.Socket); return err == nil })
	holdAs(t, 1, d.Socket)
	monitor := d.Part("--role monitor")
	began, before := time.Now(), resident(t, monitor)
	report := await(t, d, program, time.Duration(max(120, many/200))*time.Second)
	took, after := time.Since(began), resident(t, monitor)
	if report.Sent != many {
		t.Errorf("%d messages were sent", report.Sent)
	}
	accepted := onlyWhatUID1May(t, d)
	if accepted == 0 || report.Answers["not_authenticated"] == 0 || report.Answers["not_allowed"] == 0 || report.Answers["bad_param"] == 0 {
		t.Errorf("the attack did not reach what it was made for: %d accepted, answers %v", accepted, report.Answers)
	}
	if now := d.Part("--role monitor"); now != monitor || monitor == 0 {
		t.Errorf("the monitor did not stay up: %d, then %d", monitor, now)
	}
	t.Logf("%d messages in %v: %v; the monitor had %d KiB before, %d KiB after and %d KiB at most", report.Sent, took, report.Answers, before>>10, after>>10, peak(t, monitor)>>10)
}

// SO_PEERCRED on a descriptor that was handed up names the listener of that
// socket, here root. Nobody may become root by that.
func TestHandedUpDescriptorProvesNothing(t *testing.T) {
	rig.NeedRoot(t)
	path := filepath.Join(t.TempDir(), "root.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d, program := attack(t, "handup "+path)
	rig.Eventually(t, 10*time.Second, "the monitor listens", func() bool { _, err := os.Stat(d.Socket); return err == nil })
	holdAs(t, 1, d.Socket)
	report := await(t, d, program, 120*time.Second)
	if report.PeerUID != 0 {
		t.Fatalf("the trap is not set: SO_PEERCRED of the handed-up descriptor says uid %d", report.PeerUID)
	}
	onlyWhatUID1May(t, d)
}

func TestServerThatBreaksTheProtocolIsKilled(t *testing.T) {
	d, _ := attack(t, "arbitrary")
	rig.Eventually(t, 20*time.Second, "five servers were killed", func() bool {
		return strings.Count(d.Log(), "the wall's protocol is broken") >= 5
	})
	if d.Part("--role monitor") == 0 {
		t.Error("the monitor did not stay up")
	}
	for _, line := range d.Journal() {
		if strings.Contains(line, `"type":"accepted"`) {
			t.Errorf("something was accepted: %s", line)
		}
	}
}

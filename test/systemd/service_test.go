//go:build linux

package systemd_test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"deputy/internal/service"
	"deputy/test/rig"
)

// The whole life of a service, as an administrator types it.
func TestService(t *testing.T) {
	s := newSite(t)
	s.Write("/etc/deputy/modules.d/m.toml", module, 0o644)
	s.status(4, service.Status{Manager: "systemd", Detail: "not-found"})
	s.refused("only root may", "setpriv", "--reuid=1", "deputy", "service", "install")
	s.refused("cannot install the service: cannot trust /usr/sbin/deputyd", "sh", "-c", "chmod o+w /usr/sbin; deputy service install")
	s.Run("chmod", "o-w", "/usr/sbin")
	s.refused("install it with: deputy service install", "deputy", "service", "start")

	s.says("wrote /usr/local/lib/systemd/system/deputy.service", "deputy", "service", "install")
	if text := s.Run("id", "--user", "--name", "deputy"); text != "deputy\n" {
		t.Errorf("the server's user: %q", text)
	}
	if text, err := s.Try("systemd-analyze", "verify", "--man=no", "/usr/local/lib/systemd/system/deputy.service", "/usr/local/lib/systemd/system/deputy.socket"); err != nil || text != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, text)
	}
	stopped := service.Status{Manager: "systemd", Installed: true, Enabled: true, File: "/usr/local/lib/systemd/system/deputy.service", Detail: "inactive (dead)"}
	s.status(3, stopped)

	s.says("deputy status", "deputy", "service", "start")
	s.running()
	if h := s.healthy(); h.Proof != "cgroup" || h.Weakness != "" {
		t.Errorf("under systemd: %s", h.Raw)
	}
	if text, _ := s.Try("deputy", "doctor"); !strings.Contains(text, "deputy.service is as it must be") {
		t.Errorf("deputy doctor, which may find fault with this computer, does with the unit:\n%s", text)
	}
	s.says("starts with the machine", "deputy", "service", "install") // again, while it runs
	w := s.begin("lives-on", 7)
	s.says("1 task lives on, and were", "deputy", "service", "restart")
	w.runs()
	s.says("1 task lives on; the next start", "deputy", "service", "stop")
	s.status(3, stopped)
	if !w.alive() {
		t.Error("the task was ended with the service")
	}
	s.says("started", "deputy", "service", "start")
	w.runs()
	s.refused("1 task lives", "deputy", "service", "remove")
	w.open()
	w.exact()
	s.verify()

	s.says("journal stay in /etc/deputy, /var/lib/deputy and /var/lib/deputy-server", "deputy", "service", "remove")
	s.status(4, service.Status{Manager: "systemd", Detail: "not-found"})
	if text, err := s.Try("pgrep", "--list-full", "deputy"); err == nil {
		t.Errorf("left running: %s", text)
	}
	s.Run("test", "-f", "/etc/deputy/modules.d/m.toml")
	s.says("was not installed", "deputy", "service", "remove", "--purge")
	if text, _ := s.Try("sh", "-c", "ls -d /etc/deputy /var/lib/deputy* /run/deputy /etc/systemd/system/deputy* /etc/systemd/system/*/deputy* /usr/local/lib/systemd/system/deputy*; id deputy"); strings.Contains(text, "\n/") || strings.HasPrefix(text, "/") || strings.Contains(text, "uid=") {
		t.Errorf("a purge leaves:\n%s", text)
	}
}

// Units that a package has brought are its own.
func TestUnitsOfAPackage(t *testing.T) {
	s := newSite(t)
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{"deputy.service", "deputy.socket"} {
		s.Copy(root+"/packaging/systemd/"+unit, "/usr/lib/systemd/system/"+unit)
	}
	s.Copy(root+"/packaging/systemd/sysusers.conf", "/usr/lib/sysusers.d/deputy.conf")
	s.Copy(root+"/packaging/systemd/tmpfiles.conf", "/usr/lib/tmpfiles.d/deputy.conf")
	s.Run("systemd-sysusers")
	s.Run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/deputy.conf")
	if text := s.Run("stat", "--format=%a %U", "/etc/deputy/keys", "/var/lib/deputy", "/run/deputy"); text != "700 root\n755 root\n755 root\n" {
		t.Errorf("what tmpfiles.d makes:\n%s", text)
	}
	s.says("kept /usr/lib/systemd/system/deputy.service", "deputy", "service", "install")
	s.Run("deputy", "service", "start")
	s.healthy()
	s.says("kept /usr/lib/systemd/system/deputy.service", "deputy", "service", "remove")
	s.Run("test", "-f", "/usr/lib/systemd/system/deputy.service")
	s.status(3, service.Status{Manager: "systemd", Installed: true, File: "/lib/systemd/system/deputy.service", Detail: "inactive (dead)"})
}

// A service that cannot start says why, and starts by itself once that is mended.
func TestAServiceThatCannotStart(t *testing.T) {
	s := newSite(t)
	s.Write("/etc/deputy/modules.d/m.toml", strings.Replace(module, "grace", "grade", 1), 0o644)
	s.Run("deputy", "service", "install")
	s.refused("m.toml:9", "deputy", "service", "start")
	s.Write("/etc/deputy/modules.d/m.toml", module, 0o644)
	s.until("ActiveState", "active")
	s.healthy()
	// A reload that fails says so to systemd, and the old policy stays.
	s.Write("/etc/deputy/modules.d/m.toml", strings.Replace(module, "grace", "grade", 1), 0o644)
	if text, err := s.Try("systemctl", "reload", "deputy"); err == nil {
		t.Errorf("a reload of a bad manifest succeeds: %s", text)
	}
	rig.Eventually(t, patience, "the mistake is in the service's log", func() bool {
		return strings.Contains(s.Run("journalctl", "--unit=deputy", "--output=cat"), "m.toml:9")
	})
	w := s.begin("old-policy", 3)
	s.Write("/etc/deputy/modules.d/m.toml", module+"[action.new]\ncommand = [\"/bin/true\"]\n", 0o644)
	s.Run("systemctl", "reload", "deputy")
	if _, err := s.c.Action(s.context(), "m", "new"); err != nil {
		t.Errorf("after the reload: %v", err)
	}
	w.runs()
	w.open()
	w.exact()
}

// says runs a command whose words must hold text.
func (s *site) says(text string, argv ...string) {
	s.t.Helper()
	if said := s.Run(argv...); !strings.Contains(said, text) {
		s.t.Errorf("%q says %q, not %q", argv, said, text)
	}
}

// refused runs one that must fail with text.
func (s *site) refused(text string, argv ...string) {
	s.t.Helper()
	if said, err := s.Try(argv...); err == nil || !strings.Contains(said, text) {
		s.t.Errorf("%q: %v, says %q, not %q", argv, err, said, text)
	}
}

// status compares what `deputy service status` says, and its exit status.
func (s *site) status(code int, want service.Status) {
	s.t.Helper()
	text, err := s.Try("setpriv", "--reuid=1", "deputy", "service", "status", "--json") // needs no privilege
	got := 0
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	}
	var status service.Status
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		s.t.Fatalf("%v in %s", err, text)
	}
	if status != want || got != code {
		s.t.Errorf("status %+v, exit %d, want %+v, %d", status, got, want, code)
	}
}

// running holds the status of a service that runs to what systemd knows.
func (s *site) running() {
	s.t.Helper()
	var status service.Status
	if err := json.Unmarshal([]byte(s.Run("deputy", "service", "status", "--json")), &status); err != nil {
		s.t.Fatal(err)
	}
	if comm := s.Run("cat", "/proc/"+s.keeper()+"/comm"); !status.Running || status.PID == 0 || comm != "deputyd\n" {
		s.t.Errorf("it runs: %+v, its process is %q", status, comm)
	}
}

//go:build linux

package systemd_test

import (
	"testing"

	"deputy/test/rig"
)

// New programs take over under systemd with the same processes: it sees neither an
// end nor a start, and keeps for the new ones what it kept for the old.
func TestUpgrade(t *testing.T) {
	s := installed(t)
	s.dropIn("RestartSec=4\nWatchdogSec=5")
	s.Run("systemctl", "restart", "deputy")
	stays, ends := s.begin("stays", 51), s.begin("ends", 52)
	keeper, monitor := s.keeper(), s.monitor()
	s.until("NFileDescriptorStore", "2")

	s.programs("2.0.0-test")
	s.says("upgraded from 1.0.0-test to 2.0.0-test", "deputy", "upgrade")
	if h := s.healthy(); h.Version != "2.0.0-test" {
		t.Errorf("the new version answers as %s", h.Version)
	}
	if k, m := s.keeper(), s.monitor(); k != keeper || m != monitor {
		t.Errorf("keeper %s and monitor %s became %s and %s", keeper, monitor, k, m)
	}
	stays.runs()
	ends.open()
	ends.exact()

	// One that cannot start is refused, and the one that runs goes on.
	s.Copy(s.Path("/bin/false"), "/usr/sbin/deputyd")
	s.refused("cannot", "deputy", "upgrade")
	s.programs("2.0.0-test")
	stays.runs()

	// The next start is given what was kept before the upgrade.
	late := s.begin("late", 53)
	s.until("NFileDescriptorStore", "2")
	watched := s.property("WatchdogTimestampMonotonic")
	rig.Eventually(t, patience, "the watchdog is fed", func() bool { return s.property("WatchdogTimestampMonotonic") != watched })
	if n := s.property("NRestarts"); n != "0" {
		t.Errorf("systemd has started the service %s times again", n)
	}
	s.kill(s.monitor(), s.keeper())
	late.open()
	s.healthy()
	late.exact()
	stays.runs()

	// Without an upgrade in place a restart does it.
	s.programs("3.0.0-test")
	s.Run("deputy", "service", "restart")
	if h := s.healthy(); h.Version != "3.0.0-test" {
		t.Errorf("after the restart %s answers", h.Version)
	}
	stays.runs()
	stays.open()
	stays.exact()
	s.verify()
}

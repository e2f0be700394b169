//go:build linux

package test

import (
	"strconv"

	"deputy/internal/wall"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// version is the release that answers now; "" if none does.
func version(d *rig.Deputy) string {
	var health struct{ Version string }
	a, err := d.Self().Try("GET", "/healthz", "")
	if err != nil || a.Status != 200 {
		return ""
	}
	a.Read(discard{}, 200, &health)
	return health.Version
}

// discard fails no test: an answer that cannot be read is none.
type discard struct{ testing.TB }

func (discard) Helper()               {}
func (discard) Fatalf(string, ...any) {}

// upgrade orders one in the way of the round, and waits until the new version answers.
func upgrade(t *testing.T, d *rig.Deputy, round int, to string) {
	t.Helper()
	if round%2 == 0 {
		text, err := d.Command("upgrade").CombinedOutput()
		if want := " to " + to + "\n"; err != nil || !strings.HasSuffix(string(text), want) {
			t.Errorf("deputy upgrade: %v, %q; want …%q", err, text, want)
		}
		return
	}
	if err := d.Cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, time.Minute, "version "+to+" answers", func() bool { return version(d) == to })
}

// Programs are replaced and upgraded to under load, back and forth between two
// versions. Keeper and monitor stay the same processes; no connection is refused
// and nothing lost; each task starts once, and each exit is exact, also of those
// that end while the programs change.
func TestUpgradeUnderLoad(t *testing.T) {
	rig.NeedRoot(t)
	const rounds, clients = 6, 16
	versions := []string{"9.8.0-one", "9.8.1-two"}
	bins := []string{rig.Version(t, versions[0]), rig.Version(t, versions[1])}
	d := prepare(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	d.Install(bins[0])
	d.Start()
	long := startEnding(t, d, "long", "witness")
	keeper, monitor := d.Cmd.Process.Pid, d.Part("--role monitor")
	l := newLoad(t, d, "once", clients)
	for round := range rounds {
		what := []string{"7", "0", "SIGKILL", "SIGSEGV", "255"}
		var ends []ending
		for i, kind := range what {
			ends = append(ends, startEnding(t, d, text("end-%d-%d", round, i), kind))
		}
		from := l.acked.Load()
		rig.Eventually(t, time.Minute, "the load goes on", func() bool { return l.acked.Load() >= from+5*clients })
		to := (round + 1) % 2
		d.Install(bins[to])
		released := make(chan struct{})
		go func() {
			defer close(released)
			for _, e := range ends {
				e.gate.open()
			}
		}()
		upgrade(t, d, round, versions[to])
		<-released
		for _, e := range ends {
			e.check(d.Self(), text("around upgrade %d", round))
		}
		if now := d.Part("--role monitor"); now != monitor || d.Cmd.Process.Pid != keeper || rig.State(keeper) == "Z" {
			t.Errorf("the monitor was process %d, and is %d", monitor, now)
		}
	}
	from := l.acked.Load()
	rig.Eventually(t, time.Minute, "the load goes on", func() bool { return l.acked.Load() >= from+5*clients })
	l.end()
	long.release()
	long.check(d.Self(), text("after %d upgrades", rounds))
	starts := map[string]int{}
	for _, id := range lines(t, d.Work+"/starts") {
		starts[id]++
	}
	for id, task := range l.whole() {
		if task.Action == "once" && (task.State != deputy.Succeeded || starts[id] != 1) {
			t.Errorf("task %s: %s, %s; its process wrote %d times", id, task.State, reason(task), starts[id])
		}
	}
	if n := len(d.Events(deputy.UpgradeOrdered)); n != rounds {
		t.Errorf("%d upgrades are recorded, want %d", n, rounds)
	}
	d.Verify()
	t.Logf("%d upgrades, %d requests acknowledged, %d asked again, %d connections refused", rounds, l.acked.Load(), l.retried.Load(), l.refused.Load())
}

// The same without cgroups, and as the deputy of one user, which leaves nothing
// when it is ended after all.
func TestUpgradeOfEveryKind(t *testing.T) {
	for _, args := range [][]string{{"--installed", "--no-cgroup"}, {}, {"--no-cgroup"}} {
		t.Run("deputyd "+strings.Join(args, " "), func(t *testing.T) {
			rig.NeedRoot(t)
			d := prepare(t, endsModule, rig.Files{"deputy.toml": installed}, args...)
			d.Install(rig.Programs(t))
			d.Start()
			during, after := startEnding(t, d, "during", "7"), startEnding(t, d, "after", "SIGSEGV")
			long := startEnding(t, d, "long", "witness")
			monitor := d.Part("--role monitor")
			go during.gate.open()
			upgrade(t, d, 0, deputy.Version)
			c := d.Self()
			during.check(c, "around an upgrade")
			after.release()
			after.check(c, "after an upgrade")
			running(t, c, long.task.ID)
			if now := d.Part("--role monitor"); now != monitor {
				t.Errorf("the monitor was process %d, and is %d", monitor, now)
			}
			if len(args) > 0 && args[0] == "--installed" {
				stopAll(t, d)
			}
			d.Stop()
			if pids := rig.Living(long.task.ID); len(pids) > 0 {
				t.Errorf("processes %v are left", pids)
			}
		})
	}
}

// What cannot take over is refused, with the reason, and the old programs go on.
func TestABadUpgradeIsRefused(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, endsModule, rig.Files{"deputy.toml": installed, "allow.d/o.toml": ""}, "--installed")
	d.Install(rig.Programs(t))
	d.Start()
	long := startEnding(t, d, "long", "7")
	monitor, server := d.Part("--role monitor"), d.Part("deputy-server")
	for _, test := range []struct{ name, program, text, want string }{
		{"fails", "deputyd", "#!/bin/sh\necho it broke >&2\nexit 3\n", "deputyd cannot start: exit status 3: it broke"},
		{"no program", "deputyd", "\x7fELF garbage", "deputyd cannot start: exec format error"},
		{"another program", "deputyd", "#!/bin/sh\necho deputyd of something else\n", `it says "deputyd of something else`},
		{"hangs", "deputyd", "#!/bin/sh\nexec sleep 1000\n", "deputyd cannot start: it did not show within 10s"},
		{"no server", "deputy-server", "#!/bin/sh\nexit 4\n", "deputy-server cannot start: exit status 4"},
		{"another wall", "deputy-server", "#!/bin/sh\necho deputy-server 9.9.9, wall 99\n", "do not speak the same version of their protocol (" + strconv.Itoa(wall.Version) + " and 99)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d.Install(rig.Programs(t))
			d.Replace(test.program, test.text)
			refusedUpgrade(t, d, test.want)
		})
	}
	t.Run("bad policy", func(t *testing.T) {
		d.Install(rig.Programs(t))
		d.Write(rig.Files{"allow.d/o.toml": "[[allow]]\nnonsense = 1\n"})
		refusedUpgrade(t, d, "nonsense")
		d.Write(rig.Files{"allow.d/o.toml": ""})
	})
	t.Run("no operator", func(t *testing.T) {
		d.As(2).Do("POST", "/v1/upgrade", "").Refused(t, 403, deputy.NotAllowed)
	})
	if now := d.Part("--role monitor"); now != monitor || d.Part("deputy-server") != server {
		t.Error("a refused upgrade has changed a process")
	}
	if n := len(d.Events(deputy.UpgradeOrdered)); n > 0 {
		t.Errorf("%d upgrades are recorded", n)
	}
	long.release()
	long.check(d.Self(), "after refused upgrades")
}

func refusedUpgrade(t *testing.T, d *rig.Deputy, want string) {
	t.Helper()
	out, err := d.Command("upgrade").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot upgrade, the old programs go on: ") || !strings.Contains(string(out), want) {
		t.Errorf("deputy upgrade: %v, %s; want it refused with %q", err, out, want)
	}
}

// A new monitor that passes the proof and dies all the same is started again by
// the keeper; its tasks live on, and their exits are exact.
func TestANewMonitorThatDies(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	d.Install(rig.Programs(t))
	d.Start()
	during, after := startEnding(t, d, "during", "7"), startEnding(t, d, "after", "SIGKILL")
	monitor := d.Part("--role monitor")
	d.Replace("deputyd", fmt.Sprintf("#!/bin/sh\ncase \"$*\" in\n*\"--role probe\"*) ;;\n*\"--role monitor\"*) touch %s; exit 1 ;;\nesac\nexec %s \"$@\"\n",
		filepath.Join(d.Work, "died"), filepath.Join(rig.Programs(t), "deputyd")))
	go during.gate.open()
	upgrade(t, d, 0, deputy.Version)
	if _, err := os.Stat(filepath.Join(d.Work, "died")); err != nil || d.Part("--role monitor") == monitor {
		t.Errorf("the new monitor did not die: %v", err)
	}
	during.check(d.Self(), "around a failed upgrade")
	running(t, d.Self(), after.task.ID)
	after.release()
	after.check(d.Self(), "after a failed upgrade")
	d.Verify()
}

//go:build linux

package test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"deputy"
	"deputy/test/rig"
)

// asUser has a command run as a user of this number.
func asUser(uid uint32, cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}

// An auditor sees who may do what, by which rule; nobody else does.
func TestWhoMayDoWhat(t *testing.T) {
	d := installedDeputy(t)
	text, err := asUser(8, d.Command("actions", "--all")).CombinedOutput()
	for _, line := range []string{
		"m/plain\tuid:2 uid:3 group:staff\t\tsite.toml:2\n", "m/plain\tuid:10\tfor alice\tsite.toml:",
		"m/work\tuid:6\tkey=\"nothing of this value exists\", read\tsite.toml:", "m/work\tuid:7\tstop, read\tsite.toml:",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("an auditor is not shown %q, %v:\n%s", line, err, text)
		}
	}
	if text, err := asUser(2, d.Command("actions", "--all")).CombinedOutput(); err == nil || !strings.Contains(string(text), "only an auditor may") {
		t.Errorf("another asks who may do what: %v\n%s", err, text)
	}
	if text, err := asUser(2, d.Command("actions")).CombinedOutput(); err != nil || strings.Contains(string(text), "site.toml") || !strings.Contains(string(text), "m\twork\t") {
		t.Errorf("another asks what it may do: %v\n%s", err, text)
	}
}

// The events up to now, and since a time.
func TestEventsUpToNow(t *testing.T) {
	d := begin(t, "user = \"root\"\n[allow]\nusers = [\"uid:0\"]\n[action.a]\ncommand = [\"/bin/true\"]\n", rig.Files{"deputy.toml": installed}, "--installed")
	if none := d.Events(deputy.Accepted); len(none) != 0 {
		t.Fatal(none)
	}
	first := d.Self().Ended(d.Self().Started("m/a", "").ID)
	second := d.Self().Ended(d.Self().Started("m/a", "").ID)
	ids := func(args ...string) (all []string) {
		t.Helper()
		text, err := d.Command(append([]string{"events", "--no-follow", "--json", "--type", "ended"}, args...)...).Output()
		if err != nil {
			t.Fatalf("events %q: %v", args, err)
		}
		for line := range strings.Lines(string(text)) {
			var e deputy.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			all = append(all, e.Task)
		}
		return all
	}
	both := first.ID + " " + second.ID
	if got := strings.Join(ids(), " "); got != both {
		t.Errorf("up to now: %s, want %s", got, both)
	}
	if got := strings.Join(ids("--since", "1h"), " "); got != both {
		t.Errorf("since an hour: %s, want %s", got, both)
	}
	if got := ids("--since", second.Ended.Add(1e9).UTC().Format("2006-01-02T15:04:05Z")); len(got) > 1 { // seconds: the second one at most
		t.Errorf("since the end: %s", got)
	}
}

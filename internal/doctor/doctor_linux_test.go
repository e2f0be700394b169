package doctor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/client"
	"deputy/internal/monitor/journal"
)

var update = flag.Bool("update", false, "write the golden file anew")

// now is when the tests happen, long after any journal of theirs was written.
func now() time.Time { return time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC) }

// healthy is a deputy in folders of its own, with which nothing is wrong, on a
// machine of which /proc and /sys are laid out here.
func healthy(t *testing.T) *Machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "deputy-d-") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &Machine{
		Config: dir + "/etc", Modules: []string{dir + "/etc/modules.d"}, State: dir + "/var",
		Socket: dir + "/var/deputy.sock", Programs: dir + "/bin", Root: dir + "/root", Owner: os.Geteuid(),
		Now: now, Query: Query,
		Ask: func(context.Context) (*client.Health, error) {
			return &client.Health{Status: "ok", Version: deputy.Version, Proof: "cgroup"}, nil
		},
	}
	for name, text := range map[string]string{
		"etc/modules.d/m.toml": "allow.users = [\"root\"]\naction.a.command = [\"/bin/true\"]\n",
		"etc/keys/panel":       "secret\n", "var/installation.key": "key", "bin/deputyd": "", "bin/deputy-server": "",
		"root/proc/self/mountinfo":                    "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n31 1 0:27 / /proc rw - proc proc rw\n",
		"root/proc/self/cgroup":                       "0::/user.slice\n",
		"root/proc/self/limits":                       "Max open files            1024                 1048576              files\n",
		"root/sys/fs/cgroup/cgroup.controllers":       "cpuset cpu io memory pids\n",
		"root/sys/fs/cgroup/user.slice/cgroup.kill":   "",
		"root/proc/sys/fs/inotify/max_user_watches":   "65536\n",
		"root/proc/sys/fs/inotify/max_user_instances": "128\n",
		"root/proc/sys/kernel/pid_max":                "4194304\n",
		"root/proc/sys/kernel/threads-max":            "60000\n",
		"root/run/systemd/system/.keep":               "",
	} {
		write(t, filepath.Join(dir, name), text, 0o600)
	}
	for name, mode := range map[string]os.FileMode{"etc": 0o755, "etc/modules.d": 0o755, "etc/keys": 0o700, "var": 0o755, "bin": 0o755} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"var/tasks", "var/journal"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	listen(t, m.Socket)
	record(t, m.journal())
	return m
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func listen(t *testing.T, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
}

// record makes a real journal with a few records.
func record(t *testing.T, dir string) {
	t.Helper()
	j, _, err := journal.Open(dir, journal.Options{
		Checkpoint: func() *deputy.Event { return &deputy.Event{Type: deputy.Checkpoint} }, Notify: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		j.Append(&deputy.Event{Type: deputy.DrainOff, Reason: "a test"})
	}
	if err := j.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func chmod(name string, mode os.FileMode) func(*testing.T, *Machine) {
	return func(t *testing.T, m *Machine) {
		if err := os.Chmod(filepath.Join(filepath.Dir(m.State), name), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// lay replaces a file of the machine.
func lay(name, text string) func(*testing.T, *Machine) {
	return func(t *testing.T, m *Machine) { write(t, filepath.Join(m.Root, name), text, 0o600) }
}

func healthOf(h client.Health) func(*testing.T, *Machine) {
	return func(_ *testing.T, m *Machine) {
		m.Ask = func(context.Context) (*client.Health, error) { return &h, nil }
	}
}

func down(_ *testing.T, m *Machine) {
	m.Ask = func(context.Context) (*client.Health, error) {
		return nil, errors.New("cannot reach deputy: /none: no such file or directory")
	}
}

// says puts a systemctl before the machine's, that says something.
func says(text string, status int) func(*testing.T, *Machine) {
	return func(t *testing.T, m *Machine) {
		m.Installed = true
		dir := t.TempDir()
		write(t, dir+"/systemctl", fmt.Sprintf("#!/bin/sh\ncat <<'END'\n%sEND\nexit %d\n", text, status), 0o755)
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	}
}

const goodUnit = "LoadState=loaded\nActiveState=active\nKillMode=process\nDelegate=yes\nNotifyAccess=main\nFileDescriptorStoreMax=512\nTasksMax=infinity\n"

// broken is what can be wrong, each in one way, and where it must be found.
var broken = []struct {
	name  string
	area  string
	spoil func(*testing.T, *Machine)
}{
	{"nothing answers", "daemon", down},
	{"another version answers", "daemon", healthOf(client.Health{Version: "0.0.1", Proof: "cgroup"})},
	{"it says that it is weaker", "daemon", healthOf(client.Health{Version: deputy.Version, Proof: "cgroup", Weakness: "the server is not confined"})},
	{"it drains", "daemon", healthOf(client.Health{Version: deputy.Version, Proof: "cgroup", Draining: true})},
	{"a manifest that everybody can write", "policy", chmod("etc/modules.d/m.toml", 0o666)},
	{"a manifest with a mistake", "policy", func(t *testing.T, m *Machine) {
		write(t, m.Config+"/modules.d/n.toml", "action.b.comand = [\"/bin/true\"]\n", 0o644)
	}},
	{"a key that others can read", "keys", chmod("etc/keys/panel", 0o644)},
	{"a program that is missing", "programs", func(t *testing.T, m *Machine) { os.Remove(m.Programs + "/deputy-server") }},
	{"a program that everybody can replace", "programs", chmod("bin/deputyd", 0o777)},
	{"a journal that others can read", "state", chmod("var/journal", 0o755)},
	{"an installation key that others can read", "state", chmod("var/installation.key", 0o644)},
	{"a folder of output that everybody can write", "state", chmod("var/tasks", 0o777)},
	{"a socket for its owner alone", "state", chmod("var/deputy.sock", 0o600)},
	{"something else in the socket's place", "state", func(t *testing.T, m *Machine) {
		os.Remove(m.Socket)
		write(t, m.Socket, "", 0o666)
	}},
	{"a record that was changed", "journal", func(t *testing.T, m *Machine) {
		files, _ := filepath.Glob(m.journal() + "/*.jsonl")
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		write(t, files[0], strings.Replace(string(text), "a test", "a lie!", 1), 0o600)
	}},
	{"a clock that was set back", "journal", func(_ *testing.T, m *Machine) { m.Now = func() time.Time { return time.Unix(1e9, 0) } }},
	{"a state in memory", "disk", func(t *testing.T, m *Machine) {
		dir, err := os.MkdirTemp("/dev/shm", "deputy-d-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		m.State = dir
	}},
	{"a disk with less room than is to be kept", "disk", func(t *testing.T, m *Machine) {
		write(t, m.Config+"/deputy.toml", "storage.keep_free = \"100%\"\n", 0o644)
	}},
	{"subreapers", "cgroup", healthOf(client.Health{Version: deputy.Version, Proof: "subreaper", Weakness: "cgroups cannot be used: a reason"})},
	{"no cgroup v2", "cgroup", func(t *testing.T, m *Machine) { down(t, m); lay("proc/self/mountinfo", "")(t, m) }},
	{"a cgroup of somebody else", "cgroup", func(t *testing.T, m *Machine) { down(t, m); lay("proc/self/cgroup", "0::/elsewhere\n")(t, m) }},
	{"a kernel without cgroup.kill", "cgroup", func(t *testing.T, m *Machine) {
		down(t, m)
		os.Remove(m.Root + "/sys/fs/cgroup/user.slice/cgroup.kill")
	}},
	{"no controllers", "cgroup", lay("sys/fs/cgroup/cgroup.controllers", "cpuset io memory\n")},
	{"a unit that kills tasks", "systemd", says(strings.NewReplacer("KillMode=process", "KillMode=control-group", "Delegate=yes", "Delegate=no",
		"NotifyAccess=main", "NotifyAccess=all", "StoreMax=512", "StoreMax=0", "infinity", "4915").Replace(goodUnit), 0)},
	{"no unit", "systemd", says("LoadState=not-found\n", 0)},
	{"a systemd that does not answer", "systemd", says("", 1)},
	{"a machine without systemd", "systemd", func(t *testing.T, m *Machine) {
		m.Installed = true
		os.RemoveAll(m.Root + "/run/systemd")
	}},
	{"few watches", "limits", lay("proc/sys/fs/inotify/max_user_watches", "8192\n")},
	{"few instances", "limits", lay("proc/sys/fs/inotify/max_user_instances", "8\n")},
	{"few processes", "limits", lay("proc/sys/kernel/pid_max", "4096\n")},
	{"few threads", "limits", lay("proc/sys/kernel/threads-max", "1000\n")},
	{"few descriptors", "limits", func(t *testing.T, m *Machine) {
		write(t, m.journal()+"/lock", "77        \n", 0o600)
		lay("proc/77/limits", "Max open files            1024                 4096                 files\n")(t, m)
	}},
	{"a /proc that hides", "access", func(t *testing.T, m *Machine) {
		m.Installed = true
		lay("proc/self/mountinfo", "31 1 0:27 / /proc rw shared:5 - proc proc rw,hidepid=2\n")(t, m)
	}},
	{"SELinux in a domain that was not meant", "access", func(t *testing.T, m *Machine) {
		write(t, m.journal()+"/lock", "77        \n", 0o600)
		lay("sys/fs/selinux/enforce", "1")(t, m)
		lay("proc/77/attr/current", "system_u:system_r:init_t:s0\x00")(t, m)
	}},
	{"AppArmor with a profile", "access", func(t *testing.T, m *Machine) {
		write(t, m.journal()+"/lock", "77        \n", 0o600)
		lay("sys/module/apparmor/parameters/enabled", "Y\n")(t, m)
		lay("proc/77/attr/apparmor/current", "deputyd (enforce)\n")(t, m)
	}},
}

// places are the areas that follow from what a test lays out; the others are of
// the machine that it runs on.
var places = []string{"daemon", "policy", "keys", "programs", "state", "journal", "cgroup", "systemd", "limits", "access"}

// of gives the findings of an area that are not well.
func of(r *Report, area string) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Area != area || f.Level == OK })
}

func TestNothingIsWrong(t *testing.T) {
	m := healthy(t)
	m.Full = true
	r := Examine(t.Context(), m)
	for _, area := range places {
		if list := of(r, area); len(list) > 0 {
			t.Errorf("%s: %+v", area, list)
		}
		if area != "systemd" && !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Area == area }) {
			t.Errorf("nothing is said of %s", area)
		}
	}
	says(goodUnit, 0)(t, m)
	if list := unit(m, t.Context()); len(list) != 1 || list[0].Level != OK {
		t.Errorf("a good unit: %+v", list)
	}
}

// Each thing that is wrong is found where it is, and what is said of it, with the
// remedy, stands in the golden file.
func TestBroken(t *testing.T) {
	var all strings.Builder
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			m := healthy(t)
			b.spoil(t, m)
			r := Examine(t.Context(), m)
			list := of(r, b.area)
			if len(list) == 0 {
				t.Errorf("nothing is found in %s", b.area)
			}
			fmt.Fprintf(&all, "== %s\n", b.name)
			for _, f := range list {
				if f.Remedy == "" || f.Follows == "" {
					t.Errorf("without what follows, or a remedy: %+v", f)
				}
				fmt.Fprintf(&all, "%s %s: %s\n  concerns: %s\n  remedy: %s\n", f.Level, f.Area, same(m, f.What), same(m, f.Follows), same(m, f.Remedy))
			}
		})
	}
	const golden = "testdata/broken.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if all.String() != string(want) {
		t.Errorf("%s has changed (go test -update writes it anew); got:\n%s", golden, all.String())
	}
}

// same takes out what differs from run to run.
func same(m *Machine, text string) string {
	base := filepath.Dir(m.Config)
	text = strings.NewReplacer(m.State, "STATE", base, "DIR", fmt.Sprintf("version %s", deputy.Version), "version VERSION",
		fmt.Sprintf("command %s", deputy.Version), "command VERSION", fmt.Sprintf("uid %d", m.Owner), "uid OWNER").Replace(text)
	text = regexp.MustCompile(`\d+ MiB`).ReplaceAllString(text, "N MiB")
	return regexp.MustCompile(`clock is \S+ before`).ReplaceAllString(text, "clock is TIME before")
}

func TestClockState(t *testing.T) {
	if list := clockState(unix.TIME_OK, 0); list[0].Level != OK {
		t.Errorf("%+v", list)
	}
	for _, list := range [][]Finding{clockState(unix.TIME_ERROR, 0), clockState(unix.TIME_OK, unix.STA_UNSYNC)} {
		if list[0].Level != Weaker || list[0].Remedy == "" {
			t.Errorf("%+v", list)
		}
	}
}

// The gravest finding decides.
func TestLevel(t *testing.T) {
	m := healthy(t)
	if err := os.Chmod(m.Config+"/keys/panel", 0o644); err != nil {
		t.Fatal(err)
	}
	if r := Examine(t.Context(), m); r.Level != Wrong || r.Count(Wrong) != 1 {
		t.Errorf("%s, %d wrong", r.Level, r.Count(Wrong))
	}
}

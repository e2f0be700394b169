//go:build linux

// Package packages_test builds the packages as they are released and lives with
// the one for Debian on a machine of its own: installs, uses, upgrades and removes
// it, and does what the README tells a newcomer to do, word for word.
package packages_test

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/test/rig"
	"deputy/test/systemd/machine"
)

// patience is how long anything may take on a machine that has other work.
const patience = time.Minute

// release is a built version: a folder, as `make packages` leaves it.
type release struct {
	once sync.Once
	dir  string
	err  error
}

var older, newer, again release

func TestMain(m *testing.M) {
	code := m.Run()
	for _, r := range []*release{&older, &newer, &again} {
		os.RemoveAll(r.dir)
	}
	rig.Clean()
	os.Exit(code)
}

// build builds what is released for this processor, once.
func (r *release) build(t *testing.T, version string) string {
	t.Helper()
	r.once.Do(func() {
		root, err := rig.Root()
		if err != nil {
			r.err = err
			return
		}
		if r.dir, r.err = os.MkdirTemp("", "deputy-release-"); r.err != nil {
			return
		}
		os.Chmod(r.dir, 0o755)
		cmd := exec.Command("packaging/build", r.dir, "linux/amd64")
		cmd.Dir, cmd.Env = root, append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1800000000")
		if text, err := cmd.CombinedOutput(); err != nil {
			r.err = fmt.Errorf("cannot build the packages: %w\n%s", err, text)
		}
	})
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.dir
}

func (r *release) deb(t *testing.T, version string) string {
	t.Helper()
	return one(t, filepath.Join(r.build(t, version), "*.deb"))
}

func one(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %d files, %v", pattern, len(found), err)
	}
	return found[0]
}

const oldVersion, newVersion = "0.1.0", "0.2.0"

// The same commit gives the same bytes, of everything.
func TestTwoBuildsAreTheSame(t *testing.T) {
	first, second := sums(t, older.build(t, oldVersion)), sums(t, again.build(t, oldVersion))
	kinds := map[string]bool{}
	for name, sum := range first {
		kinds[filepath.Ext(name)] = true
		if second[name] != sum {
			t.Errorf("%s differs between two builds", name)
		}
	}
	if len(first) != len(second) {
		t.Errorf("one build made %d files, the other %d", len(first), len(second))
	}
	for _, kind := range []string{".deb", ".rpm", ".apk", ".gz", ".json"} {
		if !kinds[kind] {
			t.Errorf("no %s was built: %v", kind, first)
		}
	}
}

func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Name()] = fmt.Sprintf("%x", sha256.Sum256(text))
	}
	return all
}

// The checksums are of what lies beside them, and complete.
func TestChecksums(t *testing.T) {
	dir := older.build(t, oldVersion)
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = dir
	text, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(text), ": OK") != len(sums(t, dir))-1 {
		t.Errorf("%v\n%s", err, text)
	}
}

// The list of what the programs are made of names what is linked into them.
func TestBillOfMaterials(t *testing.T) {
	dir := older.build(t, oldVersion)
	text, err := os.ReadFile(one(t, filepath.Join(dir, "*.spdx.json")))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Version  string `json:"spdxVersion"`
		Packages []struct {
			Name    string `json:"name"`
			Version string `json:"versionInfo"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(text, &doc); err != nil || doc.Version != "SPDX-2.3" {
		t.Fatalf("%v, version %q", err, doc.Version)
	}
	listed := map[string]string{}
	for _, p := range doc.Packages {
		listed[p.Name] = p.Version
	}
	unpacked := t.TempDir()
	run(t, "dpkg-deb", "--extract", older.deb(t, oldVersion), unpacked)
	for _, program := range []string{"usr/sbin/deputyd", "usr/sbin/deputy-server", "usr/bin/deputy"} {
		info, err := buildinfo.ReadFile(filepath.Join(unpacked, program))
		if err != nil {
			t.Fatal(err)
		}
		if listed[filepath.Base(program)] != oldVersion {
			t.Errorf("%s is listed with version %q", program, listed[filepath.Base(program)])
		}
		for _, dep := range info.Deps {
			if listed[dep.Path] != dep.Version {
				t.Errorf("%s holds %s %s, listed is %q", program, dep.Path, dep.Version, listed[dep.Path])
			}
		}
	}
}

func TestLintian(t *testing.T) {
	if text := run(t, "lintian", "--allow-root", "--fail-on", "error,warning", older.deb(t, oldVersion)); strings.TrimSpace(text) != "" {
		t.Errorf("lintian says:\n%s", text)
	}
}

func run(t *testing.T, argv ...string) string {
	t.Helper()
	text, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, text)
	}
	return string(text)
}

// What stands behind "#" in the configuration that is shipped is the default, and
// all of it can be used.
func TestShippedConfigurationSaysTheDefaults(t *testing.T) {
	rig.NeedRoot(t)
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "packaging/deputy.toml"))
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string) *manifest.Config {
		dir := t.TempDir()
		os.Chmod(filepath.Dir(dir), 0o755)
		file := filepath.Join(dir, "deputy.toml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		set, _, err := manifest.Load(manifest.Options{ConfigFile: file, KeysDir: dir, AllowDir: filepath.Join(dir, "allow.d"), Root: true, Socket: "/run/deputy/deputy.sock"})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return set.Config
	}
	// The examples of what has no default stay comments.
	setting := regexp.MustCompile(`(?m)^#((unix|http|https|line|confine|timeout|start_within|grace|output|per_caller|max_use|keep_free|keep) = .*)$`)
	said := setting.ReplaceAllString(string(text), "$1")
	user := "[server]\nuser = \"daemon\"\n"
	got := load(strings.Replace(said, "[server]\n", user, 1))
	want := load(user)
	if g, w := fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", *want); strip(g) != strip(w) {
		t.Errorf("the shown settings are\n%s\nand the defaults\n%s", g, w)
	}
	if said == string(text) {
		t.Error("no setting was found")
	}
}

// strip takes pointers out of a printed value.
func strip(s string) string { return regexp.MustCompile(`0x[0-9a-f]+`).ReplaceAllString(s, "") }

// site is a fresh Debian with what a newcomer has: PHP, and a file to install.
type site struct {
	*machine.Machine
	t *testing.T
}

func newSite(t *testing.T) *site {
	t.Helper()
	rig.NeedRoot(t)
	s := &site{Machine: machine.Boot(t, "adduser", "cron", "php-cli"), t: t}
	s.Copy(older.deb(t, oldVersion), "/root/deputy_"+oldVersion+"-1_amd64.deb")
	return s
}

func (s *site) sh(user, line string) string {
	s.t.Helper()
	return s.Run("runuser", "-u", user, "--", "/bin/sh", "-c", "cd ~ 2>/dev/null; export DEBIAN_FRONTEND=noninteractive; "+line)
}

// matches holds an output against what a document shows of it: lines in this order,
// in which … stands for anything.
func matches(got, shown string) bool {
	var pattern strings.Builder
	pattern.WriteString("(?s)^.*?")
	for line := range strings.Lines(shown) {
		line = strings.TrimRight(line, "\n")
		if line == "…" {
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*?") + "[ ]*\n.*?")
	}
	return regexp.MustCompile(pattern.String()).MatchString(got)
}

// An upgrade takes effect while a task runs, which lives on and ends exactly.
func TestUpgradeWithATaskRunning(t *testing.T) {
	s := newSite(t)
	s.sh("root", "apt-get install -y ./deputy_"+oldVersion+"-1_amd64.deb")
	s.Write("/etc/deputy/modules.d/m.toml", `
user = "root"
[allow]
users = ["root"]
[action.work]
command = ["/bin/sh", "-c", 'read -r line </root/gate; exit 7']
`, 0o644)
	s.Run("mkfifo", "/root/gate")
	s.Run("deputy", "reload")
	id := strings.TrimSpace(s.Run("deputy", "call", "m", "work"))
	running := func() deputy.Task {
		t.Helper()
		var task deputy.Task
		if err := json.Unmarshal([]byte(s.Run("deputy", "show", "--json", id)), &task); err != nil {
			t.Fatal(err)
		}
		return task
	}
	rig.Eventually(t, patience, "the task runs", func() bool { return running().State == deputy.Running })
	before := s.Run("systemctl", "show", "deputy", "--property=MainPID")

	s.Copy(newer.deb(t, newVersion), "/root/new.deb")
	s.sh("root", "apt-get install -y ./new.deb")
	if got := s.Run("deputy", "status"); !strings.Contains(got, newVersion) {
		t.Errorf("after the upgrade: %s", got)
	}
	if after := s.Run("systemctl", "show", "deputy", "--property=MainPID"); after != before {
		t.Errorf("the service was started anew: %s, was %s", after, before)
	}
	if task := running(); task.State != deputy.Running {
		t.Errorf("the task is %s after the upgrade", task.State)
	}
	s.Run("/bin/sh", "-c", "echo >/root/gate")
	s.Run("deputy", "wait", "--help") // the verb exists in this version, too
	rig.Eventually(t, patience, "the task has ended", func() bool { return running().Ended != nil })
	if task := running(); task.Exit == nil || task.Exit.Code == nil || *task.Exit.Code != 7 {
		t.Errorf("its exit is %+v, want code 7", task.Exit)
	}
	s.Run("deputy", "audit", "verify")
	s.dropManifest()
	s.purge()
}

// A removal ends every task, also one that a stop of the service had left alive; what is
// recorded stays, and says after a new installation how they ended.
func TestARemovalEndsTasks(t *testing.T) {
	s := newSite(t)
	install := func() {
		t.Helper()
		s.sh("root", "apt-get install -y ./deputy_"+oldVersion+"-1_amd64.deb")
	}
	install()
	s.Write("/etc/deputy/modules.d/m.toml", `
user = "root"
[allow]
users = ["root"]
[action.work]
command = ["/bin/sleep", "12345"]
stoppable = false
`, 0o644)
	for _, stopped := range []bool{false, true} {
		s.Run("deputy", "reload")
		id := strings.TrimSpace(s.Run("deputy", "call", "m", "work"))
		rig.Eventually(t, patience, "the task runs", func() bool { _, err := s.Try("pgrep", "--full", "sleep 12345"); return err == nil })
		if stopped {
			s.Run("systemctl", "stop", "deputy.socket", "deputy.service")
			s.Run("pgrep", "--full", "sleep 12345") // tasks live on
		}
		s.sh("root", "apt-get remove -y deputy")
		rig.Eventually(t, patience, "the task is gone", func() bool { _, err := s.Try("pgrep", "--full", "sleep 12345"); return err != nil })
		install()
		s.Try("deputy", "wait", id) // that its processes are gone is recorded beside the start of the service; how it ended follows
		var task deputy.Task
		if err := json.Unmarshal([]byte(s.Run("deputy", "show", "--json", id)), &task); err != nil {
			t.Fatal(err)
		}
		if task.Ended == nil || !stopped && task.State != deputy.Stopped {
			t.Errorf("after a removal (the service was stopped before: %t) the task is %s", stopped, task.State)
		}
	}
	s.Run("deputy", "audit", "verify")
}

// dropManifest installs another package that brings a manifest: it is in force at once.
func (s *site) dropManifest() {
	s.t.Helper()
	for name, text := range map[string]string{
		"DEBIAN/control": "Package: neighbour\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: brings a manifest\n",
		"usr/lib/deputy/modules.d/neighbour.toml": "user = \"nobody\"\n[allow]\nusers = [\"root\"]\n[action.hello]\ncommand = [\"/bin/echo\", \"hello\"]\n",
	} {
		s.Write("/root/neighbour/"+name, text, 0o644)
	}
	s.Run("chmod", "-R", "go-w", "/root/neighbour")
	s.Run("dpkg-deb", "--build", "/root/neighbour", "/root/neighbour.deb")
	s.Run("dpkg", "--install", "/root/neighbour.deb")
	if got := s.Run("deputy", "run", "neighbour", "hello"); got != "hello\n" {
		s.t.Errorf("the neighbour's action says %q", got)
	}
	s.Run("dpkg", "--purge", "neighbour")
	if got, err := s.Try("deputy", "run", "neighbour", "hello"); err == nil {
		s.t.Errorf("after its removal the neighbour's action says %q", got)
	}
}

// purge removes the package: nothing of it is left, also of a task that ran.
func (s *site) purge() {
	s.t.Helper()
	s.Run("deputy", "call", "m", "work")
	s.sh("root", "apt-get purge -y deputy")
	left := s.Run("/bin/sh", "-c", "find / -xdev \\( -path /proc -o -path /root -o -path /var/cache -o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/apt \\) -prune -o -name '*deputy*' -print; getent passwd deputy || true; pgrep --list-full deputy || true; ls /sys/fs/cgroup/system.slice | grep deputy || true")
	if strings.TrimSpace(left) != "" {
		s.t.Errorf("a purge leaves:\n%s", left)
	}
	if pids, err := s.Try("pgrep", "--full", "/root/gate"); err == nil {
		s.t.Errorf("a task lives on: %s", pids)
	}
}

// The scripts say nothing that a shell of another system would not understand.
func TestScriptsAreForEveryShell(t *testing.T) {
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob(filepath.Join(root, "packaging/scripts/*"))
	if err != nil || len(scripts) < 6 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, shell := range [][]string{{"dash"}, {"busybox", "ash"}} {
		for _, script := range scripts {
			if text, err := exec.Command(shell[0], append(slices.Clone(shell[1:]), "-n", script)...).CombinedOutput(); err != nil || len(bytes.TrimSpace(text)) > 0 {
				t.Errorf("%q -n %s: %v %s", shell, script, err, text)
			}
		}
	}
}

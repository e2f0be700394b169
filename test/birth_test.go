//go:build linux

package test

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"deputy"
	"deputy/test/rig"
)

// Each action shows one part of what a task was given. Nothing that could add
// to it, like a shell, stands between.
const birthModule = `
directory = "/usr/share"
env = { EMPTY = "", DECLARED = "two words", VALUE = "{value}", PATH = "/usr/bin:/bin" }
params.value = { type = "string", default = "a=b \"c\" $HOME" }
USER
[allow]
users = ["uid:UID"]

[action.files]
command = ["/bin/cat", "{paths...}"]
params.paths = { type = "array", items = { type = "string" } }
[action.fds]
command = ["/bin/ls", "{path}"]
params.path = { type = "string" }
[action.links]
command = ["/bin/readlink", "{paths...}"]
params.paths = { type = "array", items = { type = "string" } }
[action.made]
command = ["/bin/mkdir", "WORK/open/{name}"]
params.name = { type = "string", pattern = "^[a-z-]+$" }

[action.stdin]
command = ["/bin/cat"]
stdin = "{text}"
params.text = { type = "string", multiline = true }
[action.one-file]
command = ["/bin/sh", "-c", "echo a; echo b >&2; echo c; echo d >>/dev/stderr"]
stderr = "stdout"
[action.two-files]
command = ["/bin/sh", "-c", "echo a; echo b >&2; echo c; echo d >>/dev/stderr"]
`

// birth is how tasks are started, and as whom.
type birth struct {
	name, declared string
	args           []string
	who            *user.User
	groups         []string // ids, sorted by number
}

func births(t *testing.T) []birth {
	t.Helper()
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	all := []birth{{"same user", "", nil, self, groupsOf(t, self)}}
	if os.Geteuid() != 0 {
		return all
	}
	daemon, err := user.Lookup("daemon")
	if err != nil {
		t.Fatal(err)
	}
	bin, err := user.Lookup("bin") // the server is daemon then
	if err != nil {
		t.Fatal(err)
	}
	tty, err := user.LookupGroup("tty")
	if err != nil {
		t.Fatal(err)
	}
	adm, err := user.LookupGroup("adm")
	if err != nil {
		t.Fatal(err)
	}
	return append(all,
		birth{"another user", `user = "daemon"`, nil, daemon, groupsOf(t, daemon)},
		birth{"another user without cgroups", `user = "daemon"`, []string{"--no-cgroup"}, daemon, groupsOf(t, daemon)},
		birth{"installed", "user = \"bin\"\ngroups = [\"tty\", \"adm\"]", []string{"--installed"}, bin, sorted([]string{tty.Gid, adm.Gid})},
	)
}

func groupsOf(t *testing.T, u *user.User) []string {
	t.Helper()
	if u.Uid == strconv.Itoa(os.Geteuid()) && u.Uid != "0" { // an ordinary user's tasks keep what the user has
		list, err := os.Getgroups()
		if err != nil {
			t.Fatal(err)
		}
		return sorted(strings.Fields(strings.Trim(fmt.Sprint(list), "[]")))
	}
	list, err := u.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	return sorted(list)
}

// sorted gives ids in the order in which the kernel shows them.
func sorted(ids []string) []string {
	slices.SortFunc(ids, func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	})
	return ids
}

// Whatever deputy itself was started with (ignored and blocked signals, a
// umask, limits, open descriptors, a directory, LD_PRELOAD and other variables),
// a task has exactly what was declared. All of it is compared, not a sample.
func TestATaskIsGivenExactlyWhatIsDeclared(t *testing.T) {
	for _, b := range births(t) {
		t.Run(b.name, func(t *testing.T) {
			config := wide
			if slices.Contains(b.args, "--installed") {
				config = installed
			}
			d := prepare(t, strings.Replace(birthModule, "USER\n", b.declared+"\n", 1), rig.Files{"deputy.toml": config}, b.args...)
			open := filepath.Join(d.Work, "open")
			if err := os.Mkdir(open, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(open, 0o777); err != nil {
				t.Fatal(err)
			}
			d.Wrapper = []string{filepath.Join(rig.Programs(t), "cast"), "odd"}
			d.Start()
			compareBirth(t, d, b)
		})
	}
}

func compareBirth(t *testing.T, d *rig.Deputy, b birth) {
	c := d.Self()
	output := func(action, params string) (string, deputy.Task) {
		t.Helper()
		task := c.Ended(c.Started("m/"+action, params).ID)
		if task.State != deputy.Succeeded {
			t.Fatalf("m/%s: %s, %s: %s", action, task.State, reason(task), c.Do("GET", "/v1/tasks/"+task.ID+"/stderr", "").Body)
		}
		return c.Stdout(task.ID), task
	}
	same := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}
	all, task := output("files", `{"paths":["/proc/self/environ","/proc/self/status","/proc/self/limits","/proc/self/stat","/proc/self/oom_score_adj"]}`)
	env, rest, _ := strings.Cut(all, "Name:")
	same("environment", env, strings.Join([]string{
		"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + b.who.HomeDir, "USER=" + b.who.Username, "LOGNAME=" + b.who.Username, "SHELL=" + shellOf(t, b.who),
		"DECLARED=two words", "EMPTY=", `VALUE=a=b "c" $HOME`, "DEPUTY_NOTIFY_SOCKET=" + filepath.Join(d.State, "notify"),
		"DEPUTY_TASK=" + task.ID, "DEPUTY_MODULE=m", "DEPUTY_ACTION=files", fmt.Sprintf("DEPUTY_CALLER=uid:%d", os.Geteuid()), "DEPUTY_END_USER=", "DEPUTY_ATTEMPT=1",
	}, "\x00")+"\x00")
	compareStatus(t, rest, b)
	compareLimits(t, rest)
	// proc_pid_stat(5): after the name come state, ppid, pgrp, session, tty_nr, …
	stat := regexp.MustCompile(`(?m)^(\d+) \(cat\) R \d+ (\d+) (\d+) (\d+) `).FindStringSubmatch(rest)
	if stat == nil || stat[1] != stat[2] || stat[1] != stat[3] || stat[4] != "0" {
		t.Errorf("not a session of its own without a terminal: %v", stat)
	}
	// The 19th is its nice value; behind the last comes oom_score_adj.
	if f := strings.Fields(rest[strings.Index(rest, ") R ")+2:]); os.Geteuid() == 0 && f[16] != "0" || f[len(f)-1] != "0" {
		t.Errorf("it is nice by %s, and its OOM score is adjusted by %s", f[16], f[len(f)-1])
	}
	fds, _ := output("fds", `{"path":"/proc/self/fd"}`)
	same("descriptors", fds, "0\n1\n2\n3\n") // 3 is ls reading the list
	links, task := output("links", `{"paths":["/proc/self/cwd","/proc/self/root","/proc/self/fd/0","/proc/self/fd/1","/proc/self/fd/2"]}`)
	dir := filepath.Join(d.State, "tasks", task.ID)
	same("links", links, "/usr/share\n/\n/dev/null\n"+dir+"/stdout\n"+dir+"/stderr\n")
	output("made", `{"name":"made"}`)
	info, err := os.Stat(filepath.Join(d.Work, "open", "made"))
	if err != nil || info.Mode().Perm() != 0o755 || fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid) != b.who.Uid {
		t.Errorf("what it made: %v, %v", info, err)
	}
	echo, _ := output("stdin", `{"text":"one\ntwo\u00e9"}`)
	same("stdin", echo, "one\ntwoé")
	one, task := output("one-file", "")
	same("one file", one, "a\nb\nc\nd\n")
	if task.StderrBytes != 0 {
		t.Errorf("with one file stderr has %d bytes", task.StderrBytes)
	}
	two, task := output("two-files", "")
	same("stdout", two, "a\nc\n")
	same("stderr", string(c.Do("GET", "/v1/tasks/"+task.ID+"/stderr", "").Body), "b\nd\n")
}

func shellOf(t *testing.T, u *user.User) string {
	t.Helper()
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 7 && f[2] == u.Uid {
			if strings.HasSuffix(f[6], "/nologin") || strings.HasSuffix(f[6], "/false") {
				return "/bin/sh" // script(1) and ssh's ProxyCommand run what SHELL names
			}
			return f[6]
		}
	}
	t.Fatalf("%s is not in /etc/passwd", u.Username)
	return ""
}

const zeros = "0000000000000000"

func compareStatus(t *testing.T, text string, b birth) {
	t.Helper()
	four := func(id string) string { return strings.Join([]string{id, id, id, id}, " ") }
	want := map[string]string{
		"Umask": "0022", "Uid": four(b.who.Uid), "Gid": four(b.who.Gid), "Groups": strings.Join(b.groups, " "),
		"Cpus_allowed_list": ownStatus(t, "Cpus_allowed_list"),
		"SigPnd":            zeros, "ShdPnd": zeros, "SigBlk": zeros, "SigIgn": zeros, "SigCgt": zeros, "NoNewPrivs": "0", "TracerPid": "0", "Threads": "1",
	}
	if b.who.Uid != "0" {
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
			want[set] = zeros
		}
	}
	for key, value := range want {
		found := regexp.MustCompile(`(?m)^` + key + `:[ \t]*(.*?)[ \t]*$`).FindStringSubmatch(text)
		if found == nil {
			t.Errorf("status has no %s", key)
		} else if got := strings.Join(strings.Fields(found[1]), " "); got != value {
			t.Errorf("%s is %q, want %q", key, got, value)
		}
	}
}

// ownStatus gives one line of the test's own /proc/PID/status.
func ownStatus(t *testing.T, key string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(regexp.MustCompile(`(?m)^` + key + `:(.*)$`).FindStringSubmatch(string(text))[1])
}

// compareLimits holds every line of /proc/PID/limits against our own hard
// limits, of which all but three soft limits must be an exact copy.
func compareLimits(t *testing.T, text string) {
	t.Helper()
	ours, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^(Max [a-z -]+?)\s{2,}(\S+)\s+(\S+)`)
	want := map[string]string{}
	for _, m := range line.FindAllStringSubmatch(string(ours), -1) {
		soft := m[3]
		switch m[1] {
		case "Max open files":
			soft = "1024"
		case "Max core file size":
			soft = "0"
		case "Max stack size":
			soft = "8388608"
		}
		want[m[1]] = soft + " " + m[3]
	}
	found := line.FindAllStringSubmatch(text, -1)
	if len(found) != len(want) || len(want) != 16 {
		t.Errorf("%d limits, want %d", len(found), len(want))
	}
	for _, m := range found {
		if got := m[2] + " " + m[3]; got != want[m[1]] {
			t.Errorf("limit %s is %s, want %s", m[1], got, want[m[1]])
		}
	}
}

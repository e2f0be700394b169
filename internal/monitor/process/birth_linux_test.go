package process

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// job is what the odd deputyd of TestBirthIsExact is to start.
type job struct {
	Proof, Dir string
	Credential *Credential
}

// declared is the environment of its tasks, with what careless code would lose.
var declared = []string{"PATH=/usr/bin:/bin", "EMPTY=", "TWICE=1", "TWICE=2", "LINES=a\nb", "BYTES=\xff\xfe", "noequals"}

// odd makes this process as odd as a start by hand can be, and then becomes a
// deputyd.
func odd(args []string) {
	runtime.LockOSThread()
	signal.Ignore(unix.SIGHUP, unix.SIGTERM, unix.SIGTSTP, unix.SIGUSR2, unix.SIGPIPE, unix.SIGCHLD)
	unix.Umask(0o077)
	for _, resource := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_NPROC, unix.RLIMIT_FSIZE} {
		var limit syscall.Rlimit
		_ = syscall.Getrlimit(resource, &limit)
		limit.Cur = min(limit.Max, 1<<30) - 333
		_ = syscall.Setrlimit(resource, &limit)
	}
	for fd := 10; fd < 20; fd++ {
		_ = unix.Dup3(0, fd, 0)
	}
	_ = os.Chdir("/tmp")
	os.Setenv("LD_PRELOAD", "/nonexistent/odd.so")
	os.Setenv("ODD", "1")
	self, _ := os.Executable()
	blocked := ^uint64(0) // what a program cannot block the kernel leaves out
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, pointer(&blocked), 0, 8, 0, 0)
	_ = syscall.Exec(self, append([]string{self, "@cleaned"}, args...), os.Environ())
}

// cleaned is that deputyd: its tasks write down all that they were given.
func cleaned(args []string) {
	if err := CleanSelf(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var j job
	if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
		panic(err)
	}
	self, _ := os.Executable()
	empty := make(chan Event, 64)
	h, err := Open(Options{Instance: "birth", Reaper: []string{self, "@reaper"}, Forker: []string{self, "@forker"}, StateDir: j.Dir,
		Events: func(e Event) { empty <- e }, ForceFallback: j.Proof == ProofSubreaper})
	if err != nil {
		panic(err)
	}
	for name, argv := range map[string][]string{
		"files": {"/bin/cat", "/proc/self/environ", "/proc/self/status", "/proc/self/limits", "/proc/self/stat", "/proc/self/cgroup"},
		"fds":   {"/bin/ls", "/proc/self/fd"},
		"links": {"/bin/readlink", "/proc/self/cwd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"},
		"made":  {"/bin/mkdir", j.Dir + "/open/made"},
	} {
		out, _ := os.OpenFile(filepath.Join(j.Dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if _, err := h.Start(context.Background(), Spec{Leaf: name + ".1", Argv: argv, Env: declared, Dir: "/usr", Credential: j.Credential, Stdout: out, Stderr: out}); err != nil {
			panic(err)
		}
		out.Close()
	}
	for ended := 0; ended < 4; {
		if e := <-empty; e.Kind == Empty {
			h.Release(e.Leaf)
			ended++
		}
	}
	if err := h.Close(false); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// Whatever deputyd itself was started with, a task has exactly what was
// declared: all of its environment, descriptors, signals, limits, user, groups,
// umask, session and directory is compared, not a sample.
func TestBirthIsExact(t *testing.T) {
	users := map[string]*Credential{"same": nil}
	if os.Geteuid() == 0 {
		users["other"] = &Credential{UID: 12345, GID: 12346, Groups: []uint32{12346, 12347}}
		users["alone"] = &Credential{UID: 12345, GID: 12346}
	}
	for _, proof := range proofs() {
		for name, who := range users {
			t.Run(proof+"/"+name, func(t *testing.T) {
				dir := t.TempDir()
				openTo(t, dir)
				order, _ := json.Marshal(job{proof, dir, who})
				self, _ := os.Executable()
				cmd := exec.Command(self, "@odd", string(order))
				if text, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, text)
				}
				compareBirth(t, dir, proof, who)
			})
		}
	}
}

// openTo lets any user write to dir/open and reach it.
func openTo(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir+"/open", 0o777); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(dir+"/open", 0o777)
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
}

func compareBirth(t *testing.T, dir, proof string, who *Credential) {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	same := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}
	env, rest, _ := strings.Cut(read("files"), "Name:")
	same("environment", env, strings.Join(declared, "\x00")+"\x00")
	same("descriptors", read("fds"), "0\n1\n2\n3\n") // 3 is ls reading the list
	same("links", read("links"), "/usr\n/dev/null\n"+dir+"/links\n"+dir+"/links\n")

	uid, gid, groups := uint32(os.Getuid()), uint32(os.Getgid()), ourGroups()
	if who != nil {
		uid, gid, groups = who.UID, who.GID, who.Groups
	}
	four := func(n uint32) string { return strings.TrimSpace(strings.Repeat(fmt.Sprint(n, " "), 4)) }
	for key, want := range map[string]string{
		"Umask": "0022", "Uid": four(uid), "Gid": four(gid), "Groups": strings.Trim(fmt.Sprint(groups), "[]"),
		"SigPnd": zeros, "ShdPnd": zeros, "SigBlk": zeros, "SigIgn": zeros, "SigCgt": zeros, "NoNewPrivs": "0", "TracerPid": "0",
	} {
		found := regexp.MustCompile(`(?m)^` + key + `:[ \t]*(.*?)[ \t]*$`).FindStringSubmatch(rest)
		if found == nil {
			t.Errorf("status has no %s", key)
			continue
		}
		same(key, strings.Join(strings.Fields(found[1]), " "), want)
	}
	compareLimits(t, rest)

	// proc_pid_stat(5): after the name come state, ppid, pgrp, session, tty_nr, …
	stat := regexp.MustCompile(`(?m)^(\d+) \(cat\) R \d+ (\d+) (\d+) (\d+) `).FindStringSubmatch(rest)
	if stat == nil || stat[1] != stat[2] || stat[1] != stat[3] || stat[4] != "0" {
		t.Errorf("not a session of its own without a terminal: %v", stat)
	}
	if inside := strings.Contains(rest, "/tasks/files.1\n"); inside != (proof == ProofCgroup) {
		t.Errorf("in a leaf cgroup: %v", inside)
	}
	info, err := os.Stat(dir + "/open/made")
	if err != nil || info.Mode().Perm() != 0o755 || info.Sys().(*syscall.Stat_t).Uid != uid {
		t.Errorf("what it made: %v, %v", info, err)
	}
}

const zeros = "0000000000000000"

func ourGroups() []uint32 {
	list, _ := unix.Getgroups()
	var groups []uint32
	for _, g := range list {
		groups = append(groups, uint32(g))
	}
	return groups
}

// compareLimits holds every line of /proc/PID/limits against our own hard
// limits, of which all but three soft limits must be an exact copy.
func compareLimits(t *testing.T, text string) {
	t.Helper()
	ours, _ := os.ReadFile("/proc/self/limits")
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

// Many short attempts from several goroutines: each is told exactly once of
// each kind, and nothing piles up.
func TestEachEventOnce(t *testing.T) {
	counts := map[string]int{ProofCgroup: 1600, ProofSubreaper: 48}
	for _, proof := range proofs() {
		t.Run(proof, func(t *testing.T) {
			r, all := newRig(t, proof), counts[proof]
			var group sync.WaitGroup
			for g := range 8 {
				group.Go(func() {
					for i := range all / 8 {
						leaf := fmt.Sprintf("many-%d-%d.1", g, i)
						if _, err := r.Start(context.Background(), Spec{Leaf: leaf, Argv: []string{"/bin/true"}}); err != nil {
							t.Error(err)
							return
						}
						r.wait(leaf, Empty)
						r.wait(leaf, Exited)
						r.Release(leaf)
					}
				})
			}
			group.Wait()
			r.mu.Lock()
			told := len(r.events)
			for at, events := range r.events {
				if len(events) != 1 {
					t.Errorf("%v was told %d times", at, len(events))
				}
				if e := events[0]; e.Kind == Exited && (e.Exit.Code == nil || *e.Exit.Code != 0) {
					t.Errorf("%s: %+v", e.Leaf, e.Exit)
				}
			}
			r.mu.Unlock()
			if told != 2*all {
				t.Errorf("%d events, want %d", told, 2*all)
			}
			until(t, "all leaves are removed", func() bool { leaves, _ := r.Leaves(); return len(leaves) == 0 })
			r.Host.mu.Lock()
			defer r.Host.mu.Unlock()
			if n := len(r.attempts) + len(r.byFD) + len(r.owned) + len(r.foreign); n > 0 {
				t.Errorf("%d entries are left in the tables", n)
			}
		})
	}
}

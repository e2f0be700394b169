package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// freezeWithin bounds the wait for a frozen leaf: a process in uninterruptible
// sleep may hold it up, and is then killed unfrozen.
const freezeWithin = 200 * time.Millisecond

// hierarchy is our part of the cgroup v2 tree:
//
//	P           the monitor's own cgroup, or /deputy-INSTANCE where that is the root
//	P/daemon    keeper, monitor and server
//	P/tasks/…   one leaf for each attempt
type hierarchy struct {
	mount  string // directory of the cgroup namespace's root
	path   string // P, as /proc/PID/cgroup would write it
	origin string // where our own processes go back to
}

// openHierarchy finds P, moves pids into P/daemon and proves that a child can
// be born in P/tasks. On failure everything is as it was before.
func openHierarchy(instance string, pids []int, b *births) (*hierarchy, error) {
	own, err := cgroupOf("self")
	if err != nil {
		return nil, err
	}
	mount, err := findMount()
	if err != nil {
		return nil, err
	}
	t := &hierarchy{mount: mount, path: own, origin: own}
	if parent := filepath.Dir(own); filepath.Base(own) == "daemon" && isDir(mount+parent+"/tasks") {
		t.path, t.origin = parent, parent // a monitor before us placed us here
	} else if own == "/" {
		t.path = "/deputy-" + instance
	}
	if t.made() {
		t.origin = "/"
	}
	if err := t.settle(pids, b); err != nil {
		b.end()
		t.leave(pids)
		return nil, err
	}
	return t, nil
}

// made says whether P is a directory of ours, not one that was given to us.
func (t *hierarchy) made() bool {
	return strings.HasPrefix(t.path, "/deputy-") && filepath.Dir(t.path) == "/"
}

func (t *hierarchy) dir(parts ...string) string {
	return t.mount + filepath.Join(t.path, filepath.Join(parts...))
}

func (t *hierarchy) leaf(name string) string { return t.dir("tasks", name) }

// holds says whether path, from /proc/PID/cgroup, is the leaf or beneath it.
func (t *hierarchy) holds(leaf, path string) bool {
	return strings.HasPrefix(path+"/", filepath.Join(t.path, "tasks", leaf)+"/")
}

func (t *hierarchy) settle(pids []int, b *births) error {
	for _, dir := range []string{t.dir(), t.dir("daemon"), t.dir("tasks")} {
		if err := unix.Mkdir(dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("cannot make the cgroup %s: %w", dir, err)
		}
	}
	for _, pid := range pids {
		if err := writeFile(t.dir("daemon", "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("cannot enter our cgroup: %w", err)
		}
	}
	return t.tryBirth(b)
}

// tryBirth has a child born in a leaf whose exec is bound to fail: ENOENT then
// shows that all before it worked. A seccomp filter, a kernel before 5.14 or
// missing rights show here, not at the first task.
func (t *hierarchy) tryBirth(b *births) error {
	dir := t.leaf("try-" + strconv.Itoa(os.Getpid()))
	if err := unix.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the cgroup %s: %w", dir, err)
	}
	defer func() { _ = removeTree(dir) }()
	if err := unix.Access(dir+"/cgroup.kill", unix.W_OK); err != nil {
		return fmt.Errorf("cannot use cgroup.kill (Linux 5.14 and later have it): %w", err)
	}
	fd, err := openDir(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	pid, err := b.birth(context.Background(), &Spec{Argv: []string{dir + "/none"}}, fd)
	if pid != 0 {
		waitFor(pid)
	}
	if !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot start a process in a cgroup: %w", err)
	}
	return nil
}

// leave moves pids back and removes what is ours. What another installation in
// the same cgroup still uses cannot be removed, and stays.
func (t *hierarchy) leave(pids []int) {
	for _, pid := range pids {
		_ = writeFile(t.mount+filepath.Join(t.origin, "cgroup.procs"), strconv.Itoa(pid))
	}
	_ = unix.Rmdir(t.dir("tasks"))
	_ = unix.Rmdir(t.dir("daemon"))
	if t.made() {
		_ = unix.Rmdir(t.dir())
	}
}

// leaves lists the leaf cgroups that exist.
func (t *hierarchy) leaves() ([]string, error) {
	entries, err := os.ReadDir(t.dir("tasks"))
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// findMount gives the directory of our cgroup namespace's root in the cgroup2
// mount, pure or hybrid (/proc/PID/mountinfo, proc_pid_mountinfo(5)).
func findMount() (string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		left, right, _ := strings.Cut(line, " - ")
		fields := strings.Fields(left)
		if strings.HasPrefix(right, "cgroup2 ") && len(fields) > 4 && fields[3] == "/" {
			return fields[4], nil
		}
	}
	return "", errors.New("cannot find a cgroup v2 hierarchy: none is mounted whole")
}

// populated says whether anything lives in the cgroup dir or beneath it. One
// that is gone holds nothing.
func populated(dir string) bool {
	events, err := readSmall(dir + "/cgroup.events")
	return bytes.Contains(events, []byte("populated 1")) || (err != nil && !errors.Is(err, unix.ENOENT))
}

// freeze stops every process beneath dir and says whether all had stopped in
// time. A frozen tree neither forks nor reaps, so its pids stay what they are.
func freeze(dir string) bool {
	if writeFile(dir+"/cgroup.freeze", "1") != nil {
		return false
	}
	pause := 100 * time.Microsecond
	for end := time.Now().Add(freezeWithin); time.Now().Before(end); pause = min(2*pause, 5*time.Millisecond) {
		if events, err := readSmall(dir + "/cgroup.events"); err != nil || bytes.Contains(events, []byte("frozen 1")) {
			return err == nil
		}
		time.Sleep(pause)
	}
	return false
}

func thaw(dir string) { _ = writeFile(dir+"/cgroup.freeze", "0") }

// pidsIn lists the processes of dir and of every cgroup that the task made
// beneath it. A threaded cgroup lists threads; a signal to any reaches its process.
func pidsIn(dir string) []int {
	text, err := os.ReadFile(dir + "/cgroup.procs")
	if errors.Is(err, unix.EOPNOTSUPP) {
		text, _ = os.ReadFile(dir + "/cgroup.threads")
	}
	var pids []int
	for _, field := range bytes.Fields(text) {
		// 0 is a process of another pid namespace, which has no number here.
		if pid, err := strconv.Atoi(string(field)); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	for _, sub := range subdirs(dir) {
		pids = append(pids, pidsIn(sub)...)
	}
	return pids
}

// removeTree removes an empty leaf with the cgroups that the task made in it.
func removeTree(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	for _, sub := range subdirs(dir) {
		_ = removeTree(sub) // what stays is named by the error of the outermost
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot remove the cgroup %s: %w", dir, err)
	}
	return nil
}

func subdirs(dir string) []string {
	entries, _ := os.ReadDir(dir) // one that is gone has none
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(dir, e.Name()))
		}
	}
	return dirs
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func openDir(dir string) (int, error) {
	return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

func writeFile(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(text))
		unix.Close(fd)
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// readSmall reads a kernel file of a few lines, at half the cost of os.ReadFile.
func readSmall(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 256)
	n, err := unix.Read(fd, buf)
	return buf[:max(n, 0)], err
}

//go:build linux

package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cgroups are directories in the cgroup hierarchies that systemd uses, made for
// one machine: in the v2 tree, which it will see as its whole, and where this
// computer has the older name=systemd hierarchy, in that, too.
type cgroups []string

// They are named after this process, too, so that those of a process that was
// killed can be told, and are removed.
func makeCgroups(test string) (cgroups, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all cgroups
	for line := range strings.Lines(string(text)) {
		left, right, _ := strings.Cut(line, " - ")
		fields := strings.Fields(left)
		if len(fields) < 5 || !strings.HasPrefix(right, "cgroup2 ") && !strings.Contains(right, "name=systemd") {
			continue
		}
		removeStale(fields[4])
		dir := filepath.Join(fields[4], fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), test))
		if err := os.Mkdir(dir, 0o755); err != nil {
			all.remove()
			return nil, fmt.Errorf("cannot make the machine's cgroup: %w", err)
		}
		all = append(all, dir)
	}
	if len(all) == 0 {
		return nil, errors.New("cannot find a cgroup v2 hierarchy for the machine")
	}
	return all, nil
}

const prefix = "deputy-test-"

func removeStale(mount string) {
	dirs, _ := filepath.Glob(filepath.Join(mount, prefix+"*"))
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, os.ErrNotExist) {
			_ = removeTree(dir) // what lives in it is not ours to end
		}
	}
}

// remove removes them with all that the machine has made in them. Its last
// processes may need a moment to be gone.
func (c cgroups) remove() {
	for _, dir := range c {
		for range 500 {
			if removeTree(dir) == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func removeTree(dir string) error {
	entries, _ := os.ReadDir(dir) // one that is gone has none
	for _, e := range entries {
		if e.IsDir() {
			_ = removeTree(filepath.Join(dir, e.Name())) // dir itself then tells
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

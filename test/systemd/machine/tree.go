//go:build linux

// Package machine boots a small Debian with systemd as PID 1, in a container of
// its own: for tests of what only a real service manager does. It needs root,
// debootstrap and systemd-nspawn.
package machine

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// packages is what every tree has beside debootstrap's minimal base.
var packages = []string{"systemd", "systemd-sysv", "dbus", "procps", "iproute2"}

// tree gives the directory of a Debian tree with these packages more. It is made
// once and kept in the user's cache, named after its release and packages.
func tree(more []string) (string, error) {
	archive, err := findArchive()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cannot find a place for the machine's tree: %w", err)
	}
	list := slices.Sorted(slices.Values(append(slices.Clone(packages), more...)))
	sum := sha256.Sum256([]byte(strings.Join(list, ",")))
	dir := filepath.Join(cache, "deputy-test", fmt.Sprintf("%s-%x", archive.release, sum[:4]))
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("cannot make a place for the machine's tree: %w", err)
	}
	unlock, err := lock(dir + ".lock") // two tests may want it at the same time
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, build(dir, archive, list)
}

// build makes the tree beside its place and moves it there when it is whole.
func build(dir string, from archive, list []string) error {
	unfinished := dir + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("cannot remove an unfinished tree: %w", err)
	}
	cmd := exec.Command("debootstrap", "--variant=minbase", "--include="+strings.Join(list, ","), from.release, unfinished, from.uri)
	cmd.Env = append(os.Environ(), "DPKG_FORCE=unsafe-io") // what a power cut would spoil is made again
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make a Debian tree: %w\n%s", err, tail(text, 4000))
	}
	for _, spare := range []string{"var/cache/apt", "var/lib/apt/lists"} {
		if err := os.RemoveAll(filepath.Join(unfinished, spare)); err != nil {
			return err
		}
	}
	return os.Rename(unfinished, dir)
}

func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the machine's tree: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock the machine's tree: %w", err)
	}
	return func() { f.Close() }, nil
}

// archive is where this machine has its own packages from.
type archive struct{ uri, release string }

// findArchive asks apt which archive it uses for the release that this is
// (apt-get indextargets, apt-get(8)).
func findArchive() (archive, error) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return archive{}, fmt.Errorf("cannot tell which system this is: %w", err)
	}
	var release string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			release = strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	targets, err := exec.Command("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return archive{}, fmt.Errorf("cannot ask apt for its archive: %w", err)
	}
	for line := range strings.Lines(string(targets)) {
		if name, uri, _ := strings.Cut(strings.TrimSpace(line), " "); name == release && name != "" {
			return archive{uri: uri, release: release}, nil
		}
	}
	return archive{}, errors.New("cannot find the archive of release " + release + " in apt's configuration")
}

func tail(text []byte, n int) []byte {
	text = bytes.TrimSpace(text)
	return text[max(0, len(text)-n):]
}

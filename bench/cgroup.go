//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openCgroup makes a cgroup below our own for what is started bare; "" where
// there is no cgroup v2 that we may write.
func openCgroup() string {
	own, err := cgroupOf(os.Getpid())
	if err != nil {
		return ""
	}
	dir := own + "/deputy-bench-" + strconv.Itoa(os.Getpid())
	if unix.Mkdir(dir, 0o755) != nil {
		return ""
	}
	return dir
}

// cgroupOf gives the directory of a process's v2 cgroup.
func cgroupOf(pid int) (string, error) {
	path, mount := "", ""
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			path = strings.TrimSpace(rest)
		}
	}
	if text, err = os.ReadFile("/proc/self/mountinfo"); err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		left, right, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(left); strings.HasPrefix(right, "cgroup2 ") && len(fields) > 4 {
			mount = fields[4]
		}
	}
	if path == "" || mount == "" {
		return "", errors.New("no cgroup v2")
	}
	return filepath.Join(mount, path), nil
}

// removeCgroup kills what lives in dir and removes it with all below.
func removeCgroup(dir string) error {
	_ = os.WriteFile(dir+"/cgroup.kill", []byte("1"), 0) // one that is gone needs none
	for end := time.Now().Add(5 * time.Second); populated(dir) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			_ = removeCgroup(filepath.Join(dir, e.Name())) // what stays is named by the error of the outermost
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot remove the cgroup %s: %w", dir, err)
	}
	return nil
}

func populated(dir string) bool {
	text, err := os.ReadFile(dir + "/cgroup.events")
	return err == nil && bytes.Contains(text, []byte("populated 1"))
}

// bareStarts is the limit of all starts: fork, exec, wait and nothing else, each
// into a fresh cgroup where there are cgroups. It gives starts in a second.
func (b *bench) bareStarts(ctx context.Context, goroutines int, d time.Duration) (float64, error) {
	var count atomic.Int64
	var wait sync.WaitGroup
	failed := make(chan error, goroutines)
	begun := time.Now()
	for range goroutines {
		wait.Go(func() {
			for time.Since(begun) < d && ctx.Err() == nil {
				pid, leaf, err := b.bareStart(childExit, nil)
				if err == nil {
					_, err = syscall.Wait4(pid, nil, 0, nil)
				}
				if err == nil && leaf != "" {
					err = unix.Rmdir(leaf)
				}
				if err != nil {
					failed <- fmt.Errorf("cannot start bare: %w", err)
					return
				}
				count.Add(1)
			}
		})
	}
	wait.Wait()
	took := time.Since(begun)
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(count.Load()) / took.Seconds(), ctx.Err()
	}
}

// bareStart starts a child in a session and a leaf cgroup of its own, as deputy
// does. Its stdout is /dev/null unless given.
func (b *bench) bareStart(child string, stdout *os.File) (pid int, leaf string, err error) {
	null := b.null.Fd()
	out := null
	if stdout != nil {
		out = stdout.Fd()
	}
	program, pidfd := b.program(child), -1
	attr := &syscall.ProcAttr{Dir: "/", Files: []uintptr{null, out, null}, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}}
	if b.cgroup != "" {
		leaf = b.cgroup + "/" + strconv.FormatInt(b.leaves.Add(1), 10)
		if err := unix.Mkdir(leaf, 0o755); err != nil {
			return 0, "", err
		}
		fd, err := unix.Open(leaf, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, "", err
		}
		defer unix.Close(fd)
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, fd
	}
	pid, err = syscall.ForkExec(program, []string{program}, attr)
	if pidfd >= 0 {
		unix.Close(pidfd)
	}
	return pid, leaf, err
}

// limitOfStarts names what bareStarts does.
func (b *bench) limitOfStarts() string {
	if b.cgroup == "" {
		return "bare ForkExec (no cgroup v2 to write)"
	}
	return "bare ForkExec into a fresh cgroup each"
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
)

// bench is what all measurements share.
type bench struct {
	temp   string // programs and configurations
	bin    string // deputyd, deputy-server, deputy
	disk   string // states and plain files, on the disk of the checkout
	cgroup string // for what is started bare; "": no cgroup v2 that we may write
	leaves atomic.Int64
	null   *os.File
}

func newBench(ctx context.Context, o options) (b *bench, err error) {
	b = &bench{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	root, err := checkout()
	if err != nil {
		return b, err
	}
	if o.dir == "" {
		o.dir = filepath.Join(root, "bin")
	}
	if err = os.MkdirAll(o.dir, 0o755); err != nil {
		return b, err
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return b, err
	}
	if b.disk, err = os.MkdirTemp(o.dir, "bench-"); err != nil {
		return b, err
	}
	// Programs lie where deputy trusts them, whoever owns the checkout.
	if b.temp, err = os.MkdirTemp("", "deputy-bench-"); err != nil {
		return b, err
	}
	if b.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return b, err
	}
	if err = errors.Join(writeChildren(b.temp), copySelf(b.program(self))); err != nil {
		return b, err
	}
	b.cgroup = openCgroup()
	b.bin = b.temp
	if o.programs != "" {
		b.bin, err = filepath.Abs(o.programs)
		return b, err
	}
	return b, build(ctx, root, b.temp)
}

// self is the name under which this program is started again: see actAs.
const self = "bench"

// program gives the path of one of the children.
func (b *bench) program(name string) string { return filepath.Join(b.temp, name) }

func (b *bench) proof() string {
	if b.cgroup == "" {
		return "no cgroup v2"
	}
	return "cgroup v2"
}

func (b *bench) close() {
	if b.cgroup != "" {
		if err := removeCgroup(b.cgroup); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	for _, dir := range []string{b.disk, b.temp} {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
}

// checkout is the folder of go.mod, at or above the working directory.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == "/" {
			return "", errors.New("cannot find go.mod: run this within the checkout")
		}
		dir = filepath.Dir(dir)
	}
}

// build makes the programs as `make build` does.
func build(ctx context.Context, root, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir+"/",
		"./cmd/deputyd", "./cmd/deputy-server", "./cmd/deputy")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the programs: %w\n%s", err, out)
	}
	return nil
}

// copySelf puts this program where only its user can write: a task runs it.
func copySelf(path string) error {
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o755)
}

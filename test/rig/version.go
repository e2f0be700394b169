//go:build linux

package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Version builds deputyd and deputy-server as another release, and gives the
// directory that they are in.
func Version(t testing.TB, version string) string {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-ldflags", "-X deputy.Version="+version, "-o", dir+"/", "./cmd/deputyd", "./cmd/deputy-server")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build version %s: %v\n%s", version, err, out)
	}
	return dir
}

// Install puts programs where this deputy is started from, as a package manager
// does: each is replaced as a whole. The first time it makes that directory.
func (d *Deputy) Install(from string) {
	d.t.Helper()
	if d.Bin == "" {
		d.Bin = filepath.Join(filepath.Dir(d.Config), "bin")
		if err := os.Mkdir(d.Bin, 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	for _, name := range []string{"deputyd", "deputy-server"} {
		program, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			d.t.Fatal(err)
		}
		d.Replace(name, string(program))
	}
}

// Replace replaces one program by another, which may be a script.
func (d *Deputy) Replace(name, program string) {
	d.t.Helper()
	path := filepath.Join(d.Bin, name)
	err := os.WriteFile(path+".new", []byte(program), 0o755)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		d.t.Fatal(fmt.Errorf("cannot install %s: %w", name, err))
	}
}

//go:build linux

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"deputy/test/rig"
)

// etc is a copy of /etc and what serves names beside it, for a deputy and for
// useradd in a mount namespace of their own: the machine stays as it is.
type etc struct {
	t   *testing.T
	dir string
}

func newEtc(t *testing.T) *etc {
	t.Helper()
	rig.NeedRoot(t)
	dir, err := os.MkdirTemp("", "deputy-etc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e := &etc{t, dir}
	if out, err := exec.Command("cp", "-a", "/etc", dir+"/etc").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // getent, which runs as nobody, reads it
		t.Fatal(err)
	}
	e.write("extrausers/passwd", "")
	e.write("extrausers/group", "")
	return e
}

// write replaces a file, as the programs do that change it.
func (e *etc) write(name, text string) {
	e.t.Helper()
	path := filepath.Join(e.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		e.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		e.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		e.t.Fatal(err)
	}
}

// asksExtrausers has the C library ask libnss-extrausers for what the local files
// lack, as it would ask LDAP.
func (e *etc) asksExtrausers() {
	e.t.Helper()
	e.write("etc/nsswitch.conf", "passwd: files extrausers\ngroup: files extrausers\n")
}

// getent has another program stand at /usr/bin/getent.
func (e *etc) getent(script string) {
	e.t.Helper()
	e.write("getent", script)
	if err := os.Chmod(filepath.Join(e.dir, "getent"), 0o755); err != nil {
		e.t.Fatal(err)
	}
}

// wrapper executes a command among these files.
func (e *etc) wrapper() []string {
	mounts := fmt.Sprintf("mount --bind %[1]s/etc /etc && mount --bind %[1]s/extrausers /var/lib/extrausers", e.dir)
	if _, err := os.Stat(filepath.Join(e.dir, "getent")); err == nil {
		mounts += fmt.Sprintf(" && mount --bind %s/getent /usr/bin/getent", e.dir)
	}
	return []string{"unshare", "-m", "/bin/sh", "-c", mounts + ` && exec "$0" "$@"`}
}

// run runs a program among these files, and gives what it wrote.
func (e *etc) run(args ...string) (string, error) {
	argv := append(e.wrapper(), args...)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	return string(out), err
}

// must is run of what must not fail.
func (e *etc) must(args ...string) string {
	e.t.Helper()
	out, err := e.run(args...)
	if err != nil {
		e.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func (e *etc) useradd(name string, uid int, more ...string) {
	e.t.Helper()
	e.must(append(append([]string{"useradd", "-M", "-N", "-g", "nogroup", "-u", fmt.Sprint(uid)}, more...), name)...)
}

// getentAgain puts the real getent back, under the mount: in place, for a mount
// holds on to the file.
func (e *etc) getentAgain() {
	e.t.Helper()
	text, err := os.ReadFile("/usr/bin/getent")
	if err == nil {
		err = os.WriteFile(filepath.Join(e.dir, "getent"), text, 0o755)
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

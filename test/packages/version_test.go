//go:build linux

package packages_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"deputy/test/rig"
)

// repository is a fresh one in which a test commits and tags.
type repository struct {
	t   *testing.T
	dir string
}

func (r *repository) git(args ...string) {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...)
	cmd.Dir = r.dir
	if text, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("git %q: %v\n%s", args, err, text)
	}
}

// version is what would be built now.
func (r *repository) version() string {
	r.t.Helper()
	root, err := rig.Root()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(root, "packaging", "version"))
	cmd.Dir = r.dir
	text, err := cmd.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// What is built later has a version that sorts later, for dpkg, and that it takes.
func TestVersionsSortByTime(t *testing.T) {
	r := &repository{t, t.TempDir()}
	r.git("init", "--quiet")
	last := r.version()
	later := func() {
		t.Helper()
		now := r.version()
		run(t, "dpkg", "--validate-version", now+"-1")
		run(t, "dpkg", "--compare-versions", now+"-1", "gt", last+"-1")
		last = now
	}
	for range 12 { // from one digit to two
		r.git("commit", "--quiet", "--allow-empty", "--message", "more")
		later()
	}
	if !strings.HasPrefix(last, "0.1.0~dev.12.g") {
		t.Errorf("the twelfth commit is %s", last)
	}
	r.git("tag", "v0.1.0")
	if later(); last != "0.1.0" {
		t.Errorf("the tag v0.1.0 is %s", last)
	}
	for range 12 {
		r.git("commit", "--quiet", "--allow-empty", "--message", "more")
		later()
	}
	if err := os.WriteFile(filepath.Join(r.dir, "file"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.git("add", "file")
	later() // not committed
	r.git("commit", "--quiet", "--message", "a file")
	r.git("tag", "v0.2.0")
	later()
}

// The README's line, as it stands, in a clone: dpkg takes the deb, whose version is
// that of the programs.
func TestMakePackages(t *testing.T) {
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil || !strings.Contains(string(readme), "`make packages` builds a deb") {
		t.Fatalf("README.md does not say how packages are built: %v", err)
	}
	clone := filepath.Join(t.TempDir(), "deputy")
	run(t, "git", "clone", "--quiet", root, clone)
	r := &repository{t, clone}
	if changes := run(t, "git", "-C", root, "diff", "--binary", "HEAD"); changes != "" { // what is not committed yet
		patch := filepath.Join(t.TempDir(), "patch")
		if err := os.WriteFile(patch, []byte(changes), 0o600); err != nil {
			t.Fatal(err)
		}
		r.git("apply", patch)
	}
	want := r.version()
	build := exec.Command("make", "packages", "TARGETS=linux/amd64") // for one, since time is short
	build.Dir = clone
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "VERSION=") {
			build.Env = append(build.Env, v)
		}
	}
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make packages: %v\n%s", err, text)
	}
	deb := one(t, filepath.Join(clone, "dist", "*.deb"))
	version := strings.TrimSpace(run(t, "dpkg-deb", "--field", deb, "Version"))
	run(t, "dpkg", "--validate-version", version)
	if version != want+"-1" {
		t.Errorf("the deb is %s, want %s-1", version, want)
	}
	info := run(t, "tar", "--ignore-zeros", "-xzOf", one(t, filepath.Join(clone, "dist", "*.apk")), ".PKGINFO")
	if !regexp.MustCompile(`(?m)^pkgver = \d+(\.\d+)*(_(alpha|p)\d+)?-r1$`).MatchString(info) {
		t.Errorf("Alpine takes no such version:\n%s", info)
	}
	tree := t.TempDir()
	run(t, "dpkg-deb", "--extract", deb, tree)
	if said := run(t, filepath.Join(tree, "usr", "bin", "deputy"), "version"); !strings.Contains(said, want) {
		t.Errorf("the program says %q, want %s", said, want)
	}
	status := filepath.Join(t.TempDir(), "admin")
	if err := os.MkdirAll(filepath.Join(status, "updates"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(status, "status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "dpkg", "--admindir="+status, "--force-depends", "--dry-run", "--install", deb)
}

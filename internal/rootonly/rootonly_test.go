//go:build unix

package rootonly

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes folders and links, "daemon:" before a name gives it to another user.
func tree(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	dir := t.TempDir()
	for _, d := range []struct {
		name string
		mode os.FileMode
		uid  int
	}{
		{"own", 0o755, 0}, {"own/sub", 0o700, 0}, {"theirs", 0o755, 1}, {"theirs/roots", 0o755, 0}, {"open", 0o777, 0}, {"open/sub", 0o755, 0},
		{"group", 0o775, 0}, {"sticky", 0o777 | os.ModeSticky, 0}, {"sticky/own", 0o755, 0}, {"sticky/theirs", 0o755, 1},
	} {
		path := filepath.Join(dir, d.name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, d.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, d.uid, 0); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": "own", "own/link": "sub", "theirs/link": "../own", "own/out": "/etc"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpen(t *testing.T) {
	dir := tree(t)
	for _, c := range []struct {
		path string
		mode os.FileMode
		err  string // empty: it is opened
	}{
		{"own", 0, ""},
		{"own/sub", 0, ""},
		{"own//sub/.", 0, ""},
		{"own/new/newer", 0o700, ""},
		{"sticky/own", 0, ""},
		{"sticky/own/new", 0o755, ""},
		{"own/nothing", 0, "no such file"},
		{"own/sub/../../theirs", 0, "belongs to uid 1"},
		{"theirs", 0, "belongs to uid 1"},
		{"theirs/roots", 0, "belongs to uid 1"},
		{"theirs/new", 0o755, "belongs to uid 1"},
		{"theirs/link", 0, "belongs to uid 1"},
		{"open", 0, "others may write there"},
		{"open/sub", 0, "others may write there"},
		{"group", 0, "others may write there"},
		{"sticky", 0, "others may write there"},
		{"sticky/new", 0o755, "others may write there"},
		{"sticky/theirs", 0, "belongs to uid 1"},
		{"link", 0, "it is a link"},
		{"link/sub", 0, "it is a link"},
		{"own/link", 0, "it is a link"},
		{"own/out/deputy", 0o755, "it is a link"},
	} {
		f, err := Open(filepath.Join(dir, c.path), c.mode)
		switch {
		case err == nil && c.err != "":
			t.Errorf("%s was opened", c.path)
		case err != nil && (c.err == "" || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %q", c.path, err, c.err)
		}
		if err == nil {
			f.Close()
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "theirs/new")); err == nil {
		t.Error("a folder was made in another's")
	}
	if info, err := os.Stat(filepath.Join(dir, "own/new")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("own/new: %v, %v", info, err)
	}
}

func TestReplace(t *testing.T) {
	dir := tree(t)
	f, err := Open(filepath.Join(dir, "own"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, text := range []string{"one", "two"} {
		if err := f.Replace("file", []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := f.Read("file")
		info, _ := os.Stat(f.Path("file"))
		if err != nil || string(got) != text || info.Mode().Perm() != 0o640 {
			t.Errorf("%q, %v, %v", got, err, info)
		}
	}
	// A link is neither read nor written through.
	secret := filepath.Join(dir, "theirs/secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, f.Path("linked")); err != nil {
		t.Fatal(err)
	}
	if text, err := f.Read("linked"); err == nil {
		t.Errorf("read %q through a link", text)
	}
	if err := f.Replace("linked", []byte("y"), 0o600); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(secret); string(text) != "x" {
		t.Errorf("%q was written through a link", text)
	}
	// The folder stays the one that was looked at.
	if err := os.Rename(filepath.Join(dir, "own"), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "theirs"), filepath.Join(dir, "own")); err != nil {
		t.Fatal(err)
	}
	if err := f.Replace("late", []byte("z"), 0o600); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "moved/late")); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*/.*.new")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

//go:build unix

package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// owned makes a folder below /tmp, which is sticky, and says who owns it.
func owned(t testing.TB) (string, uint32) {
	t.Helper()
	return t.TempDir(), uint32(os.Getuid())
}

func TestTrusted(t *testing.T) {
	dir, self := owned(t)
	write(t, dir+"/safe/script.py", "")
	write(t, dir+"/shared/script.py", "")
	write(t, dir+"/open/script.py", "")
	write(t, dir+"/sticky/script.py", "")
	write(t, dir+"/safe/loose.py", "")
	write(t, dir+"/safe/world.py", "")
	for path, mode := range map[string]os.FileMode{
		"/shared": 0o775, "/open": 0o777, "/sticky": 0o777 | os.ModeSticky, "/safe/loose.py": 0o664, "/safe/world.py": 0o646,
	} {
		if err := os.Chmod(dir+path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"/safe/direct": "script.py", "/safe/away": dir + "/open/script.py", "/safe/through": "../open/../safe/script.py",
		"/safe/loop": "loop", "/sticky/link": dir + "/safe/script.py", "/folder": "safe", "/safe/nowhere": "nosuch",
	} {
		if err := os.Symlink(target, dir+link); err != nil {
			t.Fatal(err)
		}
	}
	group := "root" // whose the folders of this test are
	if name := groupName(uint32(os.Getgid())); name != "" {
		group = name
	}
	for _, c := range []struct{ path, reason, remedy string }{
		{"/safe/script.py", "", ""},
		{"/safe", "", ""},
		{"/safe/direct", "", ""},
		{"/folder/direct", "", ""},
		{"/safe/../safe/./script.py", "", ""},
		{"/sticky/script.py", "", ""},
		{"/sticky/link", "", ""},
		{"/shared/script.py", "its folder DIR/shared is writable by group " + group, "chmod g-w DIR/shared"},
		{"/open/script.py", "its folder DIR/open is writable by everyone", "chmod o-w DIR/open"},
		{"/open", "it is writable by everyone", "chmod o-w DIR/open"},
		{"/safe/away", "its folder DIR/open is writable by everyone", "chmod o-w DIR/open"},
		{"/safe/through", "its folder DIR/open is writable by everyone", "chmod o-w DIR/open"},
		{"/safe/loose.py", "it is writable by group " + group, "chmod g-w DIR/safe/loose.py"},
		{"/safe/world.py", "it is writable by everyone", "chmod o-w DIR/safe/world.py"},
		{"/safe/loop", "cannot follow the link DIR/safe/loop", "correct the link"},
		{"/safe/nowhere", "cannot look at DIR/safe/nosuch: no such file or directory", "create it or correct the path"},
		{"/safe/script.py/x", "cannot look at DIR/safe/script.py/x: not a directory", "create it or correct the path"},
	} {
		err := Trusted(dir+c.path, self)
		want := ""
		if c.reason != "" {
			want = strings.ReplaceAll("cannot trust DIR"+c.path+": "+c.reason+"; remedy: "+c.remedy, "DIR", dir)
		}
		if got := text(err); got != want {
			t.Errorf("%s:\n got %s\nwant %s", c.path, got, want)
		}
	}
	if err := Trusted("relative", self); err == nil {
		t.Error("a relative path was trusted")
	}
	if err := (Trust{UIDs: []uint32{self}}).Check(dir+"/safe/script.py", dir+"/open/script.py"); err == nil {
		t.Error("only the first path was checked")
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestTrustedOwner: a file, a folder, and in a sticky folder also a link, must
// belong to someone who is trusted.
func TestTrustedOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	dir, _ := owned(t)
	write(t, dir+"/home/file", "")
	write(t, dir+"/file", "")
	write(t, dir+"/sticky/file", "")
	if err := os.Chmod(dir+"/sticky", 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"/link", "/sticky/link"} {
		if err := os.Symlink(dir+"/home/file", dir+link); err != nil {
			t.Fatal(err)
		}
	}
	const daemon = 1
	for _, path := range []string{"/home", "/home/file", "/file", "/sticky/file", "/link", "/sticky/link"} {
		if err := os.Lchown(dir+path, daemon, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path   string
		uids   []uint32
		reason string
	}{
		{"/file", nil, "it belongs to user daemon"},
		{"/file", []uint32{daemon}, ""},
		{"/home/file", nil, "its folder DIR/home belongs to user daemon"},
		{"/sticky/file", nil, "it belongs to user daemon"},
		{"/sticky/link", nil, "the link DIR/sticky/link belongs to user daemon"},
		{"/sticky/link", []uint32{daemon}, ""},
		{"/link", nil, "its folder DIR/home belongs to user daemon"},
		{"/link", []uint32{daemon}, ""},
	} {
		got := text(Trusted(dir+c.path, c.uids...))
		want := strings.ReplaceAll(c.reason, "DIR", dir)
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s for %v: got %q, want %q", c.path, c.uids, got, want)
		}
	}
}

// TestUntrustedPolicy: what an untrusted hand can write is not read at all, and
// a script counts as much as its interpreter.
func TestUntrustedPolicy(t *testing.T) {
	o := site(t)
	dir := filepath.Dir(o.ConfigFile)
	write(t, dir+"/scan.py", "")
	path := filepath.Join(o.ModuleDirs[1], "scan.toml")
	write(t, path, "user = \"root\"\n[action.run]\ndirectory = \""+dir+"\"\ncommand = [\"/bin/sh\", \""+dir+"/scan.py\"]\n"+
		"[action.relative]\ndirectory = \""+dir+"\"\ncommand = [\"/bin/sh\", \"scan.py\", \"modules.d\"]\n")
	load(t, o)
	for _, c := range []struct{ path, want string }{
		{dir + "/scan.py", path + ":4:23: cannot trust " + dir + "/scan.py: it is writable by everyone"},
		{path, path + ": cannot trust " + path + ": it is writable by everyone\n    chmod o-w " + path},
		{o.ModuleDirs[1], path + ": cannot trust " + path + ": its folder " + o.ModuleDirs[1] + " is writable by everyone"},
		{o.AllowDir, o.AllowDir + ": cannot trust " + o.AllowDir + ": it is writable by everyone"},
		{o.ConfigFile, o.ConfigFile + ": cannot trust " + o.ConfigFile + ": it is writable by everyone"},
	} {
		info, err := os.Stat(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.path, info.Mode()|0o002); err != nil {
			t.Fatal(err)
		}
		_, _, err = Load(o)
		if !strings.Contains(text(err), c.want) {
			t.Errorf("%s: got %v\nwant %s", c.path, err, c.want)
		}
		if err := os.Chmod(c.path, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkTrust(b *testing.B) {
	o := site(b)
	dir := filepath.Dir(o.ConfigFile)
	write(b, dir+"/opt/scan/scan.py", "")
	trust := Trust{UIDs: []uint32{o.UID}}
	files := []string{"/usr/bin/python3", dir + "/opt/scan/scan.py"}
	if _, err := os.Stat(files[0]); err != nil {
		files[0] = "/bin/sh"
	}
	for b.Loop() {
		if err := trust.Check(files...); err != nil {
			b.Fatal(err)
		}
	}
}

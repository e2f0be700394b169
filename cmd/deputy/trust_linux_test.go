package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// foreign serves a daemon that another user runs, who says that its configuration
// is in a folder of his.
type foreign struct {
	socket, config string
	asked          atomic.Int32
}

const foreigner = 1

func listenAs(t *testing.T, socket string) net.Listener {
	t.Helper()
	type result struct {
		l   net.Listener
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, foreigner, foreigner, foreigner); errno != 0 {
			err = errno
		}
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrUnix{Name: socket})
		}
		if err == nil {
			err = unix.Listen(fd, 16)
		}
		if err != nil {
			done <- result{nil, err}
			return
		}
		f := os.NewFile(uintptr(fd), socket)
		defer f.Close()
		l, err := net.FileListener(f)
		done <- result{l, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.l
}

func startForeign(t *testing.T) *foreign {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	dir, err := os.MkdirTemp("", "deputy-") // t.TempDir is for its owner alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f := &foreign{socket: filepath.Join(dir, "deputy", "deputy.sock"), config: filepath.Join(dir, "theirs")}
	for _, path := range []string{filepath.Dir(f.socket), f.config, filepath.Join(f.config, "keys")} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, foreigner, foreigner); err != nil {
			t.Fatal(err)
		}
	}
	s := &httptest.Server{Listener: listenAs(t, f.socket), Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.asked.Add(1)
		fmt.Fprintf(w, `{"status":"ok","version":"9","config_dir":%q,"state_dir":%q,"tasks":[]}`, f.config, f.config)
	})}}
	s.Start()
	t.Cleanup(s.Close)
	// As if the path were mine at the moment at which it is looked at.
	if err := os.Lchown(f.socket, 0, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestRootAsksNobodyElse: whoever holds a socket that root is led to is not asked,
// and says not where root writes.
func TestRootAsksNobodyElse(t *testing.T) {
	f := startForeign(t)
	const why = "it is uid 1's, and root asks only a daemon that root runs"
	env := map[string]string{"DEPUTY_SOCKET": "", "XDG_RUNTIME_DIR": filepath.Dir(filepath.Dir(f.socket))}
	for _, c := range []struct {
		env  map[string]string
		args []string
	}{
		{nil, []string{"status"}},
		{nil, []string{"ps"}},
		{nil, []string{"run", "m", "a"}},
		{nil, []string{"reload"}},
		{map[string]string{"DEPUTY_SOCKET": "/nowhere"}, []string{"status", "--socket", f.socket}},
		{env, []string{"status"}},
	} {
		r := deputyRun(t, f.socket, setting{self: true, env: c.env}, c.args...)
		if r.status == 0 || !strings.Contains(r.err, why) {
			t.Errorf("%q: %s", c.args, r)
		}
	}
	web := map[string]string{"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "PATH_INFO": "/v1/tasks", "REMOTE_USER": "alice"}
	if r := deputyRun(t, f.socket, setting{self: true, env: web}, "cgi"); !strings.HasPrefix(r.out, "Status: 503 ") || !strings.Contains(r.err, why) {
		t.Errorf("cgi: %s", r)
	}
	if n := f.asked.Load(); n > 0 {
		t.Errorf("it was asked %d times", n)
	}
	// Others ask whom they name; of those that they do not, only their own.
	if r := deputyRun(t, f.socket, setting{}, "status"); r.status != 0 || f.asked.Load() == 0 {
		t.Errorf("another user: %s", r)
	}
	f.asked.Store(0)
	if err := os.Lchown(f.socket, 4242, 4242); err != nil {
		t.Fatal(err)
	}
	if r := deputyRun(t, "", setting{env: env}, "status"); f.asked.Load() > 0 || !strings.Contains(r.err, f.socket+": belongs to another user") {
		t.Errorf("another user's own socket: %s", r)
	}
}

// TestRootWritesNowhereElse: what root writes is in folders that it alone can
// change.
func TestRootWritesNowhereElse(t *testing.T) {
	f := startForeign(t)
	own := filepath.Join(filepath.Dir(f.config), "own")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(f.config, filepath.Join(own, "link")); err != nil {
		t.Fatal(err)
	}
	before := entries(t, f.config)
	for _, config := range []string{f.config, own + "/link"} {
		for _, args := range [][]string{
			{"key", "new", "panel", "--config", config},
			{"new", "m/a", "--config", config, "--", "/bin/true"},
			{"man", config},
		} {
			if r := deputyRun(t, "/nowhere", setting{self: true}, args...); r.status != 1 || !strings.Contains(r.err, "as root") {
				t.Errorf("%q: %s", args, r)
			}
		}
	}
	for _, h := range []home{{config: own, state: f.config + "/state"}, {config: own, state: own + "/link/state"}, {config: own, state: own + "/state", socket: ""}} {
		a := &app{getenv: os.Getenv, socket: f.config + "/new/deputy.sock"}
		if err := a.settle(&h); err == nil || !strings.Contains(err.Error(), "as root") {
			t.Errorf("up in %+v: %v", h, err)
		}
	}
	if now := entries(t, f.config); now != before {
		t.Errorf("there are %s, and there were %s", now, before)
	}
	if r := deputyRun(t, "/nowhere", setting{self: true}, "key", "new", "panel", "--config", own); r.status != 0 {
		t.Errorf("in a folder of root's: %s", r)
	}
}

func entries(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

//go:build linux

package clients

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// driver is a program that plays one step with one client. It is told the step by
// its arguments and T_… variables; its stdout and stderr are the task's, and what
// the client made of it goes to descriptor 3.
type driver struct {
	name    string
	command []string
	plain   bool // params as name=text and name:=json, not as one JSON object
	line    bool // speaks 'Key: Value', too
	noTLS   bool
}

func drivers(t *testing.T) []driver {
	t.Helper()
	dir, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	list := []driver{
		{name: "php", command: []string{"php", "testdata/driver.php"}},
		{name: "python", command: []string{"python3", "-B", "testdata/driver.py"}},
		{name: "node", command: []string{"node", "testdata/driver.js"}},
		{name: "c", command: []string{filepath.Join(dir, "driver-c")}, plain: true, line: true, noTLS: true},
		{name: "shell", command: []string{"sh", "testdata/driver.sh"}, plain: true, line: true},
		{name: "go", command: []string{filepath.Join(dir, "driver-go")}},
	}
	for _, d := range list {
		if _, err := exec.LookPath(d.command[0]); err != nil {
			missing(t, d.command[0])
		}
	}
	return list
}

// missing fails as root, who can install what is missing (see test/run).
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs %s", what)
	}
	t.Fatalf("needs %s: test/run installs it", what)
}

// compiled builds the drivers of C and Go once. The C client is built as strictly
// as can be, and watches its own memory.
var compiled = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "deputy-drivers-")
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror", "-O1", "-g",
			"-fsanitize=address,undefined", "-fno-sanitize-recover", "-o", filepath.Join(dir, "driver-c"), "testdata/driver.c"},
		{"go", "build", "-o", filepath.Join(dir, "driver-go"), "testdata/driver.go"},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", errors.New(args[0] + ": " + err.Error() + "\n" + string(out))
		}
	}
	return dir, nil
})

// running is a driver that was started.
type running struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err buffer
	said     chan string
}

func (d driver) begin(t *testing.T, args, env []string) *running {
	t.Helper()
	r := &running{t: t, said: make(chan string, 1)}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd = exec.Command(d.command[0], append(d.command[1:len(d.command):len(d.command)], args...)...)
	r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr, r.cmd.ExtraFiles = env, &r.out, &r.err, []*os.File{write}
	err = r.cmd.Start()
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		text, _ := io.ReadAll(read)
		read.Close()
		r.said <- string(text)
	}()
	return r
}

// end waits for the driver's end, and gives what it said.
func (r *running) end() string {
	r.t.Helper()
	limit := time.AfterFunc(2*time.Minute, func() { r.cmd.Process.Kill() })
	defer limit.Stop()
	if err := r.cmd.Wait(); err != nil {
		r.t.Errorf("the driver: %v; stderr %.2000q", err, r.err.String())
	}
	return <-r.said
}

// buffer may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

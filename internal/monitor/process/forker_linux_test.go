package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a launch held is in the forker's memory no more once its newborn is made, and
// nothing runs there that could keep a copy.
func TestTheForkerKeepsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	r := newRig(t, ProofCgroup)
	secret := fmt.Sprintf("kept-by-%d", os.Getpid())
	for i, size := range []int{100, launchSent, 1 << 20} { // sent, and through a file
		var env []string
		for len(env)*64<<10 < size {
			env = append(env, secret+strings.Repeat("x", min(size, 64<<10)))
		}
		leaf := fmt.Sprint("kept.", i)
		if _, err := r.Start(context.Background(), Spec{Leaf: leaf, Argv: []string{"/bin/true"}, Env: env}); err != nil {
			t.Fatal(err)
		}
		r.wait(leaf, Empty)
		r.Release(leaf)
	}
	pid := r.births.process.Pid
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(status, []byte("\nThreads:\t1\n")) {
		t.Errorf("the forker has more than one thread:\n%s", status)
	}
	if at := find(t, pid, secret); at != "" {
		t.Errorf("%s is in the forker's memory, in %s", secret, at)
	}
	if at := find(t, pid, makerName); at == "" {
		t.Error("the search does not find what is there")
	}
}

// find says in which area of a process's memory a text lies.
func find(t *testing.T, pid int, text string) string {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		_, _ = fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode)
		if !strings.HasPrefix(mode, "r") || to-from > 64<<20 {
			continue
		}
		buf := make([]byte, to-from)
		n, err := mem.ReadAt(buf, int64(from))
		if err != nil && n == 0 {
			continue // what the kernel keeps to itself: [vvar]
		}
		if bytes.Contains(buf[:n], []byte(text)) {
			return line
		}
	}
	return ""
}

// A newborn's maker leaves no core; the limit that the task is to have is given back.
func TestTheLimitOfCoresIsOurs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &before); err != nil {
		t.Fatal(err)
	}
	for _, soft := range []uint64{0, min(before.Max, 1<<20)} {
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: soft, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
		for _, proof := range proofs() {
			t.Run(fmt.Sprint(proof, soft), func(t *testing.T) {
				r := newRig(t, proof)
				leaf := fmt.Sprintf("core-%s-%d.1", proof, soft)
				_, out := r.start(leaf, "/bin/sh", "-c", "ulimit -S -c")
				r.wait(leaf, Empty)
				r.Release(leaf)
				text, _ := os.ReadFile(out)
				if want := fmt.Sprintf("%d\n", soft/512); string(text) != want {
					t.Errorf("the limit of cores is %q blocks, want %q", text, want)
				}
			})
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &before); err != nil {
		t.Fatal(err)
	}
}

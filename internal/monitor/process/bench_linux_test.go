package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quick is a program that does next to nothing: a static one if there is.
func quick() string {
	if _, err := os.Stat("/usr/bin/busybox"); err == nil {
		return "/usr/bin/busybox"
	}
	return "/bin/true"
}

// BenchmarkBare is the limit: fork and exec into a fresh cgroup, wait, remove.
func BenchmarkBare(b *testing.B) {
	needRoot(b)
	mount, err := findMount()
	if err != nil {
		b.Fatal(err)
	}
	root := fmt.Sprintf("%s/bare-%d", mount, os.Getpid())
	_ = os.Mkdir(root, 0o755)
	defer os.Remove(root)
	null, _ := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	files := []uintptr{null.Fd(), null.Fd(), null.Fd()}
	i := 0
	for b.Loop() {
		i++
		dir := filepath.Join(root, fmt.Sprint(i))
		_ = unix.Mkdir(dir, 0o755)
		fd, _ := openDir(dir)
		pid, err := syscall.ForkExec(quick(), []string{"true"}, &syscall.ProcAttr{Files: files,
			Sys: &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: fd}})
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
		_, _ = unix.Wait4(pid, nil, 0, nil)
		_ = unix.Rmdir(dir)
	}
}

// BenchmarkHost is the same through a Host: started, watched, both events told,
// released.
func BenchmarkHost(b *testing.B) {
	needRoot(b)
	empty := make(chan struct{}, 1)
	h, err := Open(Options{Instance: "bench", StateDir: b.TempDir(), Events: func(e Event) {
		if e.Kind == Empty {
			empty <- struct{}{}
		}
	}})
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		i++
		leaf := fmt.Sprint("t", i)
		if _, err := h.Start(Spec{Leaf: leaf, Argv: []string{quick(), "true"}}); err != nil {
			b.Fatal(err)
		}
		<-empty
		h.Release(leaf)
	}
	if err := h.Close(false); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkKill measures from the order to Empty for a tree of 1,000, and
// beside it a bare write to cgroup.kill until populated is 0.
func BenchmarkKill(b *testing.B) {
	needRoot(b)
	for _, way := range []string{"bare", "host"} {
		b.Run(way, func(b *testing.B) {
			var took []time.Duration
			for i := range b.N {
				b.StopTimer()
				r := openRig(b, ProofCgroup, b.TempDir())
				leaf := fmt.Sprint("kill", i)
				r.play(leaf, "@tree", "1000", "ignore", leaf)
				b.StartTimer()
				begun := time.Now()
				if way == "bare" {
					_ = writeFile(r.tree.leaf(leaf)+"/cgroup.kill", "1")
					for populated(r.tree.leaf(leaf)) {
						time.Sleep(100 * time.Microsecond)
					}
				} else if _, err := r.Kill(leaf); err != nil {
					b.Fatal(err)
				} else {
					r.wait(leaf, Empty)
				}
				took = append(took, time.Since(begun))
				b.StopTimer()
				if err := r.Close(false); err != nil {
					b.Fatal(err)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// BenchmarkParallel starts from 16 goroutines.
func BenchmarkParallel(b *testing.B) {
	needRoot(b)
	var waiting sync.Map
	h, err := Open(Options{Instance: "bench", StateDir: b.TempDir(), Events: func(e Event) {
		if e.Kind == Empty {
			c, _ := waiting.Load(e.Leaf)
			close(c.(chan struct{}))
		}
	}})
	if err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	i := 0
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mu.Lock()
			i++
			leaf := fmt.Sprint("t", i)
			mu.Unlock()
			c := make(chan struct{})
			waiting.Store(leaf, c)
			if _, err := h.Start(Spec{Leaf: leaf, Argv: []string{quick(), "true"}}); err != nil {
				b.Error(err)
				return
			}
			<-c
			h.Release(leaf)
		}
	})
	if err := h.Close(false); err != nil {
		b.Fatal(err)
	}
}

func needRoot(b *testing.B) {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Skip("needs root: run as root")
	}
}

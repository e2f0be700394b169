package process

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quick is a program that only exits: $DEPUTY_BENCH_CHILD, best a static one.
func quick() string {
	if path := os.Getenv("DEPUTY_BENCH_CHILD"); path != "" {
		return path
	}
	return "/bin/true"
}

// BenchmarkStart takes turns, so that a busy machine slows both alike: bare
// fork and exec into a fresh cgroup, wait, remove; and the same through a Host:
// started, watched, both events told, released.
func BenchmarkStart(b *testing.B) {
	needRoot(b)
	self, _ := os.Executable()
	ended := make(chan struct{}, 2)
	h, err := Open(Options{Instance: "bench", Forker: forkerOf(self), StateDir: b.TempDir(), Events: func(Event) { ended <- struct{}{} }})
	if err != nil {
		b.Fatal(err)
	}
	var bare, host []time.Duration
	i := 0
	for b.Loop() {
		i++
		begun := time.Now()
		if err := bareStart(h, h.tree.dir(fmt.Sprint("bare", i))); err != nil {
			b.Fatal(err)
		}
		bare = append(bare, time.Since(begun))
		begun = time.Now()
		leaf := fmt.Sprint("t", i)
		if _, err := h.Start(context.Background(), Spec{Leaf: leaf, Argv: []string{quick(), "true"}}); err != nil {
			b.Fatal(err)
		}
		<-ended
		<-ended
		h.Release(leaf)
		host = append(host, time.Since(begun))
	}
	if err := h.Close(false); err != nil {
		b.Fatal(err)
	}
	slices.Sort(bare)
	slices.Sort(host)
	p50, limit := host[len(host)/2], bare[len(bare)/2]
	b.ReportMetric(float64(limit.Microseconds()), "bare-p50-us")
	b.ReportMetric(float64(p50.Microseconds()), "host-p50-us")
	b.ReportMetric(float64(p50)/float64(limit), "host/bare")
}

func bareStart(h *Host, dir string) error {
	if err := unix.Mkdir(dir, 0o755); err != nil {
		return err
	}
	fd, err := openDir(dir)
	if err != nil {
		return err
	}
	null := h.null.Fd()
	pid, err := syscall.ForkExec(quick(), []string{quick(), "true"}, &syscall.ProcAttr{Files: []uintptr{null, null, null},
		Sys: &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: fd}})
	unix.Close(fd)
	if err != nil {
		return err
	}
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		return err
	}
	return unix.Rmdir(dir)
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
	self, _ := os.Executable()
	h, err := Open(Options{Instance: "bench", Forker: forkerOf(self), StateDir: b.TempDir(), Events: func(e Event) {
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
			if _, err := h.Start(context.Background(), Spec{Leaf: leaf, Argv: []string{quick(), "true"}}); err != nil {
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

// forkerOf is the forker of a benchmark: $DEPUTY_BENCH_DEPUTYD is the real one, which is
// smaller than a test program.
func forkerOf(self string) []string {
	if path := os.Getenv("DEPUTY_BENCH_DEPUTYD"); path != "" {
		return []string{path, "--role", "forker"}
	}
	return []string{self, "@forker"}
}

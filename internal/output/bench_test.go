//go:build linux

package output

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkWriter is how fast a real process writes to its output with and
// without a Capper, in turns on the same file system. ratio is the throughput
// under the Capper by that without: at least 0.98 below the cap and 0.90 while
// holes are punched.
func BenchmarkWriter(b *testing.B) {
	for _, c := range []struct {
		name         string
		total, limit int64
		chunk        int
	}{
		{"below_cap/64KiB", 256 << 20, 1 << 30, 64 << 10},
		{"below_cap/100B", 32 << 20, 1 << 30, 100},
		{"punching/64KiB", 1 << 30, 16 << 20, 64 << 10},
		{"punching/100B", 64 << 20, 1 << 20, 100},
	} {
		b.Run(c.name, func(b *testing.B) {
			// The best of each, for what else the machine does only slows.
			plain, capped := time.Hour, time.Hour
			for b.Loop() {
				plain = min(plain, writeOnce(b, c.total, -1, c.chunk))
				capped = min(capped, writeOnce(b, c.total, c.limit, c.chunk))
			}
			b.ReportMetric(plain.Seconds()/capped.Seconds(), "ratio")
			b.ReportMetric(float64(c.total)/1e6/capped.Seconds(), "capped_MB/s")
			b.ReportMetric(float64(c.total)/1e6/plain.Seconds(), "plain_MB/s")
		})
	}
}

// writeOnce runs one writer to its end; without a Capper if limit is negative.
func writeOnce(b *testing.B, total, limit int64, chunk int) time.Duration {
	dir := filepath.Join(b.TempDir(), "task")
	stdout, stderr := makeFiles(b, dir, os.Getegid(), false)
	stderr.Close()
	defer os.RemoveAll(dir)
	defer stdout.Close() // and so free the disk for the next
	if limit >= 0 {
		capper := makeCapper(b)
		if err := capper.Add(dir, limit); err != nil {
			b.Fatal(err)
		}
		defer finish(capper, dir)
	}
	unix.Sync() // the one before is not written back at this one's cost
	cmd := writer(stdout, total, chunk)
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkShortTask is what a task that ends at once costs: one that writes a
// line, and one that writes nothing.
func BenchmarkShortTask(b *testing.B) {
	for name, line := range map[string]string{"line": "done\n", "nothing": ""} {
		b.Run(name, func(b *testing.B) {
			parent := b.TempDir()
			capper := makeCapper(b)
			for i := 0; b.Loop(); i++ {
				dir := filepath.Join(parent, fmt.Sprint(i))
				stdout, stderr, err := capper.Start(dir, os.Getegid(), false, 8<<20)
				if err != nil {
					b.Fatal(err)
				}
				stdout.WriteString(line)
				stdout.Close()
				stderr.Close()
				out, _, err := finish(capper, dir)
				if err != nil {
					b.Fatal(err)
				}
				capper.Tidy(dir, out.Bytes == 0, true, false)
			}
		})
	}
}

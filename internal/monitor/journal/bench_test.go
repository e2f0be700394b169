package journal

import (
	"os"
	"path/filepath"
	"testing"

	"deputy"
)

// BenchmarkBareFdatasync is the limit that the others are beside: one 512-byte
// append made durable.
func BenchmarkBareFdatasync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, 512)
	for b.Loop() {
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := fdatasync(f); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendDurable waits for each record: what one caller sees.
func BenchmarkAppendDurable(b *testing.B) {
	j, _ := mustOpen(b, b.TempDir(), Options{})
	for b.Loop() {
		j.Append(accepted(1))
		if err := j.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend lets group commit work: what the monitor's loop sees, and at
// the end all is durable.
func BenchmarkAppend(b *testing.B) {
	j, _ := mustOpen(b, b.TempDir(), Options{})
	e := accepted(1)
	b.ReportAllocs()
	for b.Loop() {
		j.Append(e)
	}
	if err := j.Flush(); err != nil {
		b.Fatal(err)
	}
}

func fill(b *testing.B, dir string, records uint64, size int64) {
	b.Helper()
	j, _ := mustOpen(b, dir, Options{})
	e := accepted(1)
	for bytes := int64(0); j.seq < records || bytes < size; {
		j.Append(e)
		bytes += int64(j.line.Len())
		if j.seq%10000 == 0 {
			if err := j.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	mustClose(b, j)
}

func BenchmarkVerifyMillion(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 1_000_000, 0)
	for b.Loop() {
		r := mustVerify(b, dir)
		if r.Records < 1_000_000 {
			b.Fatal(r)
		}
	}
}

func BenchmarkOpenAndReplay64MiB(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 0, 63<<20)
	for b.Loop() {
		j, r, err := Open(dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		count := 0
		if err := r.Replay(func(*deputy.Event) error { count++; return nil }); err != nil {
			b.Fatal(err)
		}
		if count != r.Records {
			b.Fatal(count, r)
		}
		mustClose(b, j)
	}
}

func BenchmarkReadFromDisk(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 0, 63<<20)
	j, _ := mustOpen(b, dir, Options{})
	b.SetBytes(63 << 20)
	for b.Loop() {
		r, err := j.ReadFrom(1)
		if err != nil {
			b.Fatal(err)
		}
		for next := uint64(0); next <= j.Durable(); {
			if _, next, err = r.Next(1000); err != nil {
				b.Fatal(err)
			}
		}
		r.Close()
	}
}

package output

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"deputy"
)

// What of an output is digested: all that is kept of it, if that is not more
// than digestAll; otherwise the first and the last digestEnd bytes.
const (
	digestAll = 64 << 20
	digestEnd = digestAll / 2

	digestedAll  = "all"
	digestedEnds = "ends"
)

// Digest says what is kept of name, Stdout or Stderr, in the task's directory
// dir, as it is recorded at the task's end.
func Digest(dir, name string) (deputy.Output, error) {
	reader, err := Open(dir, name)
	if err != nil {
		return deputy.Output{}, err
	}
	defer reader.Close()
	info, err := reader.Info()
	if err != nil {
		return deputy.Output{}, err
	}
	out := deputy.Output{Bytes: info.Size, Gap: info.Gap, Rewritten: info.Rewritten}
	return out, digest(reader, &out)
}

// digest sets the digest of what r, which reads by the output's offsets, holds
// outside the gap. That of nothing is none.
func digest(r io.ReaderAt, out *deputy.Output) error {
	parts := kept(*out)
	total := length(parts)
	if total == 0 {
		return nil
	}
	out.SHA256Of = digestedAll
	if total > digestAll {
		out.SHA256Of = digestedEnds
		parts = append(firstOf(parts, digestEnd), lastOf(parts, digestEnd)...)
	}
	sum := sha256.New()
	if err := feed(sum, r, parts); err != nil {
		out.SHA256Of = ""
		return fmt.Errorf("cannot digest output: %w", err)
	}
	out.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return nil
}

func feed(sum hash.Hash, r io.ReaderAt, parts [][2]int64) error {
	buf := make([]byte, min(length(parts), copyChunk))
	for _, p := range parts {
		for at := p[0]; at < p[1]; {
			n, err := r.ReadAt(buf[:min(int64(len(buf)), p[1]-at)], at)
			sum.Write(buf[:n])
			if at += int64(n); err != nil && at < p[1] {
				return err
			}
		}
	}
	return nil
}

// kept gives the parts of an output that are there, as [from, to).
func kept(out deputy.Output) [][2]int64 {
	if out.Gap == nil {
		return [][2]int64{{0, out.Bytes}}
	}
	return [][2]int64{{0, out.Gap[0]}, {out.Gap[1], out.Bytes}}
}

func length(parts [][2]int64) (n int64) {
	for _, p := range parts {
		n += p[1] - p[0]
	}
	return n
}

// firstOf gives the first n bytes of parts.
func firstOf(parts [][2]int64, n int64) (first [][2]int64) {
	for _, p := range parts {
		take := min(n, p[1]-p[0])
		first = append(first, [2]int64{p[0], p[0] + take})
		n -= take
	}
	return first
}

// lastOf gives the last n bytes of parts.
func lastOf(parts [][2]int64, n int64) (last [][2]int64) {
	skip := length(parts) - n
	for _, p := range parts {
		leave := min(skip, p[1]-p[0])
		last = append(last, [2]int64{p[0] + leave, p[1]})
		skip -= leave
	}
	return last
}

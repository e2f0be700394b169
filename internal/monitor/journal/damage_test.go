package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// at is a line of a journal, and where it stands.
type at struct {
	file   string
	record int // from 1
	text   string
}

// sequence gives all lines of a journal in their order. What no newline ends is
// a line too.
func (f files) sequence() (list []at) {
	for _, name := range f.names() {
		for i, line := range bytes.SplitAfter(f[name], []byte{'\n'}) {
			if len(line) > 0 {
				list = append(list, at{name, i + 1, string(line)})
			}
		}
	}
	return list
}

// firstChange is the index of the first line in which two journals differ.
func firstChange(good, bad []at) int {
	i := 0
	for i < len(good) && i < len(bad) && good[i] == bad[i] {
		i++
	}
	return i
}

// isEnd says whether a journal that differs from line i on may have ended so:
// its last line is another, or it was cut, or both: what begins as one record and ends
// as a later one is a last line, too.
func isEnd(good, bad []at, i int) bool {
	return i >= len(good)-1 || i >= len(bad)-1
}

// near says whether a fault names the line i of either journal, or a neighbour.
func near(f Fault, i int, journals ...[]at) bool {
	for _, list := range journals {
		for _, a := range list[max(0, min(i-1, len(list)-1)):min(i+2, len(list))] {
			if a.file == filepath.Base(f.File) && a.record-1 <= f.Record && f.Record <= a.record+1 {
				return true
			}
		}
	}
	return false
}

// Ten thousand random edits, cuts, swaps, repetitions, flips of a bit, and
// removals and renamings of files: an exported head shows each of them, where it
// was done. Without one all but those at the very end, which are no different
// from a journal that ended there.
func TestTenThousandChangesAreFound(t *testing.T) {
	seed := uint64(20261126)
	if text := os.Getenv("JOURNAL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	good, head := sample(t)
	sequence := good.sequence()
	dir := t.TempDir()
	good.write(t, dir)
	before := good
	rng := rand.New(rand.NewPCG(seed, 0))
	kinds := map[string]int{}
	for round := 0; round < 10_000; {
		bad := good.clone()
		kind, what := damage(rng, bad)
		if bad.equal(good) {
			continue
		}
		round++
		kinds[kind]++
		bad.replace(t, dir, before)
		before = bad
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("JOURNAL_SEED=%d round %d: %s: %s", seed, round, what, fmt.Sprintf(format, args...))
		}
		changed := bad.sequence()
		first := firstChange(sequence, changed)
		r, err := Verify(dir, []Head{head}, nil)
		switch {
		case err != nil: // a format that is too new, of the file that it names
			if i := min(first, len(changed)-1); !strings.Contains(err.Error(), changed[i].file) {
				fail("%v", err)
			}
			continue
		case r.OK():
			fail("not found")
		case len(changed) > 0 && !slices.ContainsFunc(r.Faults, func(f Fault) bool { return near(f, first, sequence, changed) }):
			fail("line %d was changed, and found: %v", first, r.Faults)
		}
		if round%4 == 0 && !isEnd(sequence, changed, first) {
			if r, err := Verify(dir, nil, nil); err != nil || r.OK() {
				fail("without a head it is not found: %v", err)
			}
		}
		if round%20 == 0 { // where a chunk ends must make no difference
			for _, size := range []int{50, 1500} {
				again, err := verify(dir, []Head{head}, nil, size)
				if err != nil || !slices.Equal(r.Faults, again.Faults) || again.Head != r.Head || again.Torn != r.Torn || again.Records != r.Records {
					fail("in chunks of %d bytes: %+v, %v; whole: %+v", size, again, err, r)
				}
			}
		}
	}
	t.Log(kinds)
}

// replace writes to dir what differs from what is there.
func (f files) replace(t testing.TB, dir string, old files) {
	t.Helper()
	for name := range old {
		if _, stays := f[name]; !stays {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, data := range f {
		if was, there := old[name]; there && bytes.Equal(was, data) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// damage does one random thing to a journal, and says of which kind it is.
func damage(rng *rand.Rand, f files) (kind, what string) {
	names := f.names()
	name := names[rng.IntN(len(names))]
	other := names[rng.IntN(len(names))]
	data := f[name]
	i := rng.IntN(len(data))
	k := i + rng.IntN(min(600, len(data)-i)+1)
	l := lines(data)
	x, y := rng.IntN(len(l)), rng.IntN(len(l))
	switch rng.IntN(14) {
	case 0:
		data[i] = byte(rng.Uint32())
		return "byte", fmt.Sprintf("%s: byte %d changed", name, i)
	case 1:
		bit := rng.IntN(8)
		data[i] ^= 1 << bit
		return "bit", fmt.Sprintf("%s: bit %d of byte %d flipped", name, bit, i)
	case 2:
		f[name] = slices.Delete(data, i, k)
		return "cut", fmt.Sprintf("%s: bytes %d to %d cut out", name, i, k)
	case 3:
		f[name] = slices.Insert(data, i, data[i:k]...)
		return "bytes repeated", fmt.Sprintf("%s: bytes %d to %d repeated", name, i, k)
	case 4:
		f[name] = data[:i]
		return "truncated", fmt.Sprintf("%s: cut at %d", name, i)
	case 5:
		l[x], l[y] = l[y], l[x]
		f[name] = bytes.Join(l, nil)
		return "swap", fmt.Sprintf("%s: lines %d and %d swapped", name, x, y)
	case 6:
		f[name] = bytes.Join(slices.Delete(l, x, x+1), nil)
		return "line cut", fmt.Sprintf("%s: line %d deleted", name, x)
	case 7:
		f[name] = bytes.Join(slices.Insert(l, x, l[y]), nil)
		return "line repeated", fmt.Sprintf("%s: line %d repeated before %d", name, y, x)
	case 8:
		m := lines(f[other])
		z := rng.IntN(len(m))
		l[x], m[z] = m[z], l[x]
		f[name], f[other] = bytes.Join(l, nil), bytes.Join(m, nil)
		return "swap between files", fmt.Sprintf("%s:%d and %s:%d swapped", name, x, other, z)
	case 9:
		f[name] = append(data, f[other]...)
		return "file appended", fmt.Sprintf("%s appended to %s", other, name)
	case 10:
		delete(f, name)
		return "file removed", name + " removed"
	case 11:
		to := fmt.Sprintf("%020d.jsonl", 1+rng.IntN(60))
		delete(f, name)
		f[to] = data
		return "file renamed", fmt.Sprintf("%s renamed to %s", name, to)
	case 12:
		to := fmt.Sprintf("%020d.jsonl", 1+rng.IntN(60))
		f[to] = bytes.Clone(data)
		return "file repeated", fmt.Sprintf("%s copied to %s", name, to)
	default:
		f[name], f[other] = f[other], f[name]
		return "files swapped", fmt.Sprintf("%s and %s swapped", name, other)
	}
}

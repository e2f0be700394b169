package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files is the content of a journal, by name.
type files map[string][]byte

func (f files) names() []string { return slices.Sorted(maps.Keys(f)) }

func (f files) clone() files {
	c := files{}
	for name, data := range f {
		c[name] = bytes.Clone(data)
	}
	return c
}

func (f files) equal(g files) bool { return maps.EqualFunc(f, g, bytes.Equal) }

// lines splits a file so that each line keeps its newline.
func lines(data []byte) [][]byte {
	list := bytes.SplitAfter(data, []byte{'\n'})
	return list[:len(list)-1]
}

func (f files) write(t testing.TB, dir string) {
	t.Helper()
	old, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range old {
		os.Remove(name)
	}
	for name, data := range f {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func readFiles(t testing.TB, dir string) files {
	t.Helper()
	list, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	f := files{}
	for _, name := range list {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f[filepath.Base(name)] = data
	}
	return f
}

// sample is a journal of several segments, and its head.
func sample(t testing.TB) (files, Head) {
	t.Helper()
	dir := t.TempDir()
	j, _ := mustOpen(t, dir, Options{SegmentSize: 3000})
	appendN(t, j, 30)
	mustClose(t, j)
	head, err := Export(dir)
	if err != nil {
		t.Fatal(err)
	}
	return readFiles(t, dir), head
}

// rechain makes everything from line `from` of a file on consistent again, as a
// forger with root's powers would.
func rechain(f files, name string, from int) {
	sum := ""
	for _, n := range f.names() {
		if n < name {
			continue
		}
		var out []byte
		for i, line := range lines(f[n]) {
			if n > name || i >= from {
				at := bytes.Index(line, []byte(`"prev":"`)) + len(`"prev":"`)
				copy(line[at:], sum)
			}
			digest := sha256.Sum256(line[:len(line)-1])
			sum = hex.EncodeToString(digest[:])
			out = append(out, line...)
		}
		f[n] = out
	}
}

func TestVerifyFindsAndPlaces(t *testing.T) {
	good, head := sample(t)
	names := good.names()
	a, b, last := names[0], names[1], names[len(names)-1]
	at := func(name string, n int) [][]byte { _ = good[name]; return lines(good[name])[n:] }
	join := func(l ...[]byte) []byte { return bytes.Join(l, nil) }
	lastLine := len(lines(good[last]))
	tests := []struct {
		name   string
		change func(f files)
		file   string
		record int // 0: any
		what   string
		heads  bool // an exported head is needed
	}{
		{"nothing", func(f files) {}, "", 0, "", true},
		{"edit of a value", func(f files) { f[b] = bytes.Replace(f[b], []byte("alice"), []byte("mally"), 1) }, b, 2, "one of the two was changed", false},
		{"edit of a checkpoint", func(f files) { f[b] = bytes.Replace(f[b], []byte(`"format":2`), []byte(`"format":0`), 1) }, b, 1, "checkpoint", false},
		{"edit of the last record of a segment", func(f files) {
			i := bytes.LastIndex(f[a], []byte("alice"))
			copy(f[a][i:], "mally")
		}, a, len(lines(good[a])), "one of the two was changed", false},
		{"edit of the last record", func(f files) {
			i := bytes.LastIndex(f[last], []byte("alice"))
			copy(f[last][i:], "mally")
		}, last, lastLine, "not the record whose hash was exported", true},
		{"swap", func(f files) { l := lines(f[b]); l[1], l[2] = l[2], l[1]; f[b] = join(l...) }, b, 2, "missing", false},
		{"cut record", func(f files) { l := lines(f[b]); f[b] = join(slices.Delete(l, 2, 3)...) }, b, 3, "missing", false},
		{"cut end of a segment", func(f files) { l := lines(f[a]); f[a] = join(l[:len(l)-1]...) }, b, 1, "missing", false},
		{"cut inside the last record of a segment", func(f files) { f[a] = f[a][:len(f[a])-9] }, a, len(lines(good[a])), "cut short", false},
		{"repeated record", func(f files) { l := lines(f[b]); f[b] = join(slices.Insert(l, 2, l[1])...) }, b, 3, "repeated", false},
		{"record of another segment", func(f files) { f[b] = join(f[b], at(a, 1)[0]) }, b, len(lines(good[b])) + 1, "stand behind the last record", false},
		{"appended forgery in an old segment", func(f files) {
			l := lines(f[b])
			f[a] = join(f[a], l[0])
		}, a, len(lines(good[a])) + 1, "does not say that a write had failed", false},
		{"appended forgery at the end", func(f files) {
			f[last] = join(f[last], bytes.Replace(at(last, lastLine-1)[0], []byte(fmt.Sprintf(`{"seq":%d`, head.Seq)), []byte(fmt.Sprintf(`{"seq":%d`, head.Seq+1)), 1))
		}, last, lastLine, "one of the two was changed", false},
		{"removed segment", func(f files) { delete(f, b) }, names[2], 1, "missing", false},
		{"removed first segment", func(f files) { delete(f, a) }, b, 1, "retired", false},
		{"removed last segment", func(f files) { delete(f, last) }, names[len(names)-2], 0, "were cut off", true},
		{"emptied segment", func(f files) { f[b] = nil }, names[2], 1, "missing", false},
		{"swapped segments", func(f files) { f[a], f[b] = f[b], f[a] }, a, 1, "name", false},
		{"renamed segment", func(f files) { f["00000000000000000007.jsonl"] = f[b]; delete(f, b) }, "", 0, "", false},
		{"not JSON", func(f files) { i := bytes.LastIndexByte(f[b], '}'); f[b][i] = ']' }, b, len(lines(good[b])), "not a whole record", false},
		{"joined lines", func(f files) { f[b] = bytes.Replace(f[b], []byte("}\n{"), []byte("} {"), 1) }, b, 1, "not a whole record", false},
		{"empty line", func(f files) { f[b] = bytes.Replace(f[b], []byte("}\n{"), []byte("}\n\n{"), 1) }, b, 2, "not a whole record", false},
		{"cut tail", func(f files) { l := lines(f[last]); f[last] = join(l[:lastLine-1]...) }, last, 0, "were cut off", true},
		{"torn tail", func(f files) { f[last] = f[last][:len(f[last])-1] }, last, 0, "were cut off", true},
		{"everything removed", func(f files) { clear(f) }, "", 0, "no segment is left", true},
		{"consistent rewrite", func(f files) {
			f[b] = bytes.Replace(f[b], []byte("alice"), []byte("mally"), 1)
			rechain(f, b, 2)
		}, last, lastLine, "rewritten", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, f := t.TempDir(), good.clone()
			test.change(f)
			f.write(t, dir)
			r, err := Verify(dir, []Head{head}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.name == "nothing" || test.heads {
				if r, err := Verify(dir, nil, nil); err != nil || !r.OK() {
					t.Errorf("without a head: %+v, %v", r, err)
				}
			}
			if test.name == "nothing" {
				if !r.OK() {
					t.Fatal(r.Faults)
				}
				return
			}
			if r.OK() {
				t.Fatal("not found")
			}
			got := r.Faults[0]
			if test.file != "" && filepath.Base(got.File) != test.file || test.record != 0 && got.Record != test.record || !strings.Contains(got.What, test.what) {
				t.Errorf("found %v, want %s record %d: …%s…", r.Faults, test.file, test.record, test.what)
			}
		})
	}
}

// Whatever bit of a record is changed, or of its newline: it is found, at the
// record or at a neighbour.
func TestEveryByteOfARecord(t *testing.T) {
	good, head := sample(t)
	dir := t.TempDir()
	name := good.names()[1]
	list := lines(good[name])
	start := len(list[0]) + len(list[1])
	good.write(t, dir)
	for i := range list[2] {
		f := bytes.Clone(good[name])
		f[start+i] ^= 1 << (i % 8)
		if err := os.WriteFile(filepath.Join(dir, name), f, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Verify(dir, []Head{head}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.OK() || filepath.Base(r.Faults[0].File) != name || r.Faults[0].Record < 2 || r.Faults[0].Record > 4 {
			t.Fatalf("byte %d: found %v", i, r.Faults)
		}
	}
}

func TestTornTailIsCutAtEveryByte(t *testing.T) {
	good, _ := sample(t)
	names := good.names()
	last := names[len(names)-1]
	data := good[last]
	list := lines(data)
	for _, test := range []struct {
		name    string
		from    int    // the tear is at each byte from here …
		to      int    // … to here
		file    string // where the journal then ends
		records int    // of that file
	}{
		{"last record", len(data) - len(list[len(list)-1]), len(data), last, len(list) - 1},
		{"checkpoint", 0, len(list[0]), names[len(names)-2], len(lines(good[names[len(names)-2]]))},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for size := test.from; size < test.to; size++ {
				f := good.clone()
				f[last] = f[last][:size]
				f.write(t, dir)
				j, r := mustOpen(t, dir, Options{})
				if filepath.Base(r.File) != test.file || r.Records != test.records || len(replayed(t, r)) != test.records {
					t.Fatalf("cut at %d: recovered %+v", size, r)
				}
				torn := size != test.from
				if torn != (len(r.Cuts) == 1) || torn && r.Cuts[0].Bytes != int64(size-test.from) {
					t.Fatalf("cut at %d: reported %v", size, r.Cuts)
				}
				j.Append(accepted(1))
				mustClose(t, j)
				mustVerify(t, dir)
			}
		})
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	good, _ := sample(t)
	names := good.names()
	last := names[len(names)-1]
	first := readHead(good[last]).seq
	tests := []struct {
		name   string
		change func(data []byte) []byte
		want   string // with FILE, DIR, SEQ and NEXT
	}{
		{"edit", func(d []byte) []byte { return bytes.Replace(d, []byte("alice"), []byte("mally"), 1) },
			"FILE, record 2 (seq SEQ): its hash is not the one that record NEXT names: one of the two was changed; see all damage with: deputy audit verify --journal DIR; then restore FILE from a copy, or begin a new journal with: mv DIR DIR.damaged"},
		{"not JSON in the middle", func(d []byte) []byte { return bytes.Replace(d, []byte(`","rule`), []byte(`""rule`), 1) },
			"FILE, record 2 (seq 0): this is not a whole record; see all"},
		{"newer format", func(d []byte) []byte { return bytes.Replace(d, []byte(`"format":2`), []byte(`"format":3`), 1) },
			"FILE is of format 3, made by a newer deputy, and this one (0.1.0-dev) reads formats up to 2; install the newer version again"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, f := t.TempDir(), good.clone()
			if f[last] = test.change(f[last]); bytes.Equal(f[last], good[last]) {
				t.Fatal("nothing was changed")
			}
			f.write(t, dir)
			_, _, err := Open(dir, Options{})
			want := "cannot open journal: " + strings.NewReplacer("FILE", filepath.Join(dir, last), "DIR", dir, "SEQ", fmt.Sprint(first+1), "NEXT", fmt.Sprint(first+2)).Replace(test.want)
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Fatalf("got  %v\nwant %s", err, want)
			}
			if !readFiles(t, dir).equal(f) {
				t.Error("the files were touched")
			}
		})
	}
}

func TestLastLineThatIsNoRecordIsCut(t *testing.T) {
	good, _ := sample(t)
	names := good.names()
	last := names[len(names)-1]
	dir, f := t.TempDir(), good.clone()
	f[last][len(f[last])-2] = 'x' // its } : a sector that was not written
	f.write(t, dir)
	_, r := mustOpen(t, dir, Options{})
	if len(r.Cuts) != 1 || r.Records != len(lines(f[last]))-1 {
		t.Fatalf("recovered %+v", r)
	}
}

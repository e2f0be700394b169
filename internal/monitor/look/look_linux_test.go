package look

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"deputy/test/rig"
)

// TestMain has this program be a looker, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "--role" && os.Args[2] == "look" {
		os.Exit(Main())
	}
	os.Exit(m.Run())
}

func newPool(t testing.TB) *Pool {
	t.Helper()
	p := NewPool([]string{"/proc/self/exe", "--role", "look"})
	t.Cleanup(p.Close)
	return p
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// tree makes what a path can lead through, and gives paths into it.
func tree(t testing.TB) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir+"/a/b/script", "#!/bin/sh\n"+strings.Repeat("x", 1000))
	write(t, dir+"/a/empty", "")
	for name, target := range map[string]string{
		"up": "a/../a/b", "away": dir + "/a/b/script", "loop": "loop", "nowhere": "none", "a/b/back": "../../up/script", "twice": "up",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"", "/", "/a", "/a/b/script", "/a//b/./script", "/a/b/../empty", "/up/script", "/up/../b/script", "/away", "/loop", "/nowhere",
		"/none", "/none/x", "/a/empty/x", "/fifo", "/a/b/back", "/twice/script", "/../..", "/" + strings.Repeat("n", 300),
	} {
		paths = append(paths, dir+name)
	}
	return dir, append(paths, "/", "/bin/sh", "/usr/bin/env", "/dev/null", "/etc/../bin/sh")
}

// TestSame: what is in memory, a looker, and a plain look agree on every path.
func TestSame(t *testing.T) {
	_, paths := tree(t)
	p := newPool(t)
	for _, path := range paths {
		for _, want := range []Want{{Path: path}, {Path: path, Head: Script}} {
			plainly, err := (*Pool)(nil).Open("").See(want)
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			asked, err := p.ask("test", want)
			if d := cmp.Diff(plainly, asked, cmpopts.IgnoreTypes(ID{})); err != nil || d != "" {
				t.Errorf("%s by a looker: %v\n%s", path, err, d)
			}
			eyes, err := p.Open("test").See(want)
			if d := cmp.Diff(plainly, eyes, cmpopts.IgnoreTypes(ID{})); err != nil || d != "" {
				t.Errorf("%s by eyes: %v\n%s", path, err, d)
			}
		}
	}
	if info, err := os.Stat("/bin/sh"); err == nil {
		s, _ := p.Open("").See(Want{Path: "/bin/sh"})
		if real, _ := filepath.EvalSymlinks("/bin/sh"); s.End().Path != real || s.End().Mode&0o777 != uint32(info.Mode().Perm()) {
			t.Errorf("/bin/sh is %+v", s.End())
		}
	}
}

// TestMemory: what was seen once is seen without a looker, until it changes.
func TestMemory(t *testing.T) {
	dir, _ := tree(t)
	p := newPool(t)
	want := Want{Path: dir + "/twice/script", Head: Script}
	if _, err := p.Open("").See(want); err != nil {
		t.Fatal(err)
	}
	p.argv = []string{"/none"} // from here on no looker can be had
	p.tidyNow()
	s, err := p.Open("").See(want)
	if err != nil || s.End().Path != dir+"/a/b/script" || len(s.Head) != Script || !strings.HasPrefix(string(s.Head), "#!/bin/sh\n") {
		t.Errorf("%+v, %v", s, err)
	}
	write(t, dir+"/a/b/script", "#!/bin/dash\n")
	if s, err := p.Open("").See(want); err == nil || !strings.Contains(err.Error(), "cannot start a looker") {
		t.Errorf("what has changed was not looked at again: %q, %v", s.Head, err)
	}
	if err := os.Remove(dir + "/twice"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", dir+"/twice"); err != nil {
		t.Fatal(err)
	}
	if s, err := p.Open("").See(want); err == nil {
		t.Errorf("a link that has changed was not looked at again: %+v", s)
	}
}

// tidyNow ends those that are idle.
func (p *Pool) tidyNow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.idle {
		p.end(l, false, place{})
	}
	p.idle = nil
}

func TestWhole(t *testing.T) {
	dir, _ := tree(t)
	p := newPool(t)
	s, err := p.Open("").See(Want{Path: dir, Whole: true})
	if err != nil || s.Many || s.At != "" {
		t.Fatalf("%+v, %v", s, err)
	}
	found := map[string]bool{}
	for _, step := range s.Beneath {
		found[step.Path] = true
	}
	for _, name := range []string{"/a", "/a/b", "/a/b/script", "/a/empty", "/fifo", "/loop", "/away", "/nowhere"} {
		if !found[dir+name] {
			t.Errorf("%s is not among %v", name, found)
		}
	}
	for i := range maxBeneath {
		if err := os.Symlink("/", fmt.Sprintf("%s/a/%d", dir, i)); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := p.Open("").See(Want{Path: dir, Whole: true}); err != nil || !s.Many {
		t.Errorf("a folder of %d entries: many %t, %v", maxBeneath, s.Many, err)
	}
}

// TestHung: a file system that does not answer costs its own check a second, and
// nobody else anything; what waits for it is killed and not waited for.
func TestHung(t *testing.T) {
	for _, remembered := range []int{0, 1000} {
		t.Run(fmt.Sprint(remembered), func(t *testing.T) {
			dir := t.TempDir()
			m := rig.NewMount(t, dir, remembered, map[string]string{"prog": "#!/bin/sh\n"})
			p := newPool(t)
			if s, err := p.Open("a").See(Want{Path: dir + "/prog", Head: Script}); err != nil || string(s.Head) != "#!/bin/sh\n" {
				t.Fatalf("%+v, %v", s, err)
			}
			m.Hang()
			began := time.Now()
			_, err := p.Open("a").See(Want{Path: dir + "/other"})
			silent, ok := errors.AsType[*SilentError](err)
			if took := time.Since(began); !ok || took < Patience || took > 3*Patience {
				t.Fatalf("%v after %v", err, took)
			}
			want := "cannot check " + dir + "/other: it did not answer within 1s; is its file system mounted and alive?"
			if remembered == 0 { // not even of its root
				want = "cannot check " + dir + "/other: it did not answer within 1s, from " + dir + " on; is its file system mounted and alive?"
			}
			if err.Error() != want {
				t.Errorf("%v\nwant %s", err, want)
			}
			<-m.Asked()
			// Others are not held up, and the same place is not asked again.
			began = time.Now()
			if _, err := p.Open("b").See(Want{Path: "/bin/sh", Head: Script}); err != nil {
				t.Errorf("another path: %v", err)
			}
			if _, err := p.Open("b").See(Want{Path: dir + "/other"}); !errors.As(err, &silent) {
				t.Errorf("the same place again: %v", err)
			}
			if took := time.Since(began); took > Patience/2 {
				t.Errorf("it took %v", took)
			}
			if n := p.countLost(); n != 1 {
				t.Errorf("%d lookers are lost", n)
			}
		})
	}
}

// TestStuck: while a looker that was killed lives on, nobody asks again where it is
// stuck, however long ago that was and by whatever name it is asked for; others are
// served. When the file system answers again, so does the path.
func TestStuck(t *testing.T) {
	for _, remembered := range []int{0, 3600} {
		t.Run(fmt.Sprintf("remembered for %d s", remembered), func(t *testing.T) { stuck(t, remembered) })
	}
}

func stuck(t *testing.T, remembered int) {
	dir := t.TempDir()
	m := rig.NewMount(t, dir, remembered, map[string]string{"0": "", "1": ""})
	p := newPool(t)
	if _, err := p.Open("").See(Want{Path: dir + "/0"}); err != nil {
		t.Fatal(err)
	}
	second, near := t.TempDir(), t.TempDir()
	rig.NewMount(t, second, 0, nil).Hang() // its root does not answer, which says nothing of what it is mounted on
	if _, err := p.ask("", Want{Path: second}); err == nil {
		t.Error("a second file system that does not answer was seen")
	}
	m.Hang()
	for round := range 3 {
		for i := range 2 * maxLost {
			_, err := p.Open(fmt.Sprint(i)).See(Want{Path: fmt.Sprintf("%s/none %d", dir, i)})
			if silent, ok := errors.AsType[*SilentError](err); !ok || !strings.HasPrefix(silent.At, dir) {
				t.Fatalf("the path %d, in round %d: %v", i, round, err)
			}
		}
		p.forget() // as if it was long ago
	}
	if n := p.countLost(); n > maxOnDevice+1 {
		t.Errorf("%d lookers are lost to two file systems", n)
	}
	p.tidyNow()
	if _, err := p.ask("another", Want{Path: near + "/none"}); err != nil {
		t.Errorf("another file system: %v", err)
	}
	m.Answer()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s, err := p.Open("").See(Want{Path: dir + "/none 3"})
		if err == nil && s.Errno == unix.ENOENT {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it answers again, and is not asked: %v", err)
		}
	}
}

// forget has places asked again where there was no answer.
func (p *Pool) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.silent)
}

func (p *Pool) countLost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost()
}

// TestManyHung: there is a bound for those that are lost; beyond it nobody waits,
// and what is in memory is seen all the same. Once the file system is gone they
// die, and all is as before.
func TestManyHung(t *testing.T) {
	dir := t.TempDir()
	p := newPool(t)
	if _, err := p.Open("").See(Want{Path: "/bin/sh", Head: Script}); err != nil {
		t.Fatal(err)
	}
	t.Run("mounted", func(t *testing.T) {
		rig.NewMount(t, dir, 0, nil).Hang()
		for range maxLost { // some learn from one another that there is no answer
			var all sync.WaitGroup
			p.forget()
			for i := range maxLost - p.countLost() {
				all.Go(func() {
					if _, err := p.Open(fmt.Sprint(i)).See(Want{Path: fmt.Sprintf("%s/%d", dir, i)}); err == nil {
						t.Error("a file system that does not answer was seen")
					}
				})
			}
			all.Wait()
		}
		p.tidyNow()
		began := time.Now()
		_, err := p.ask("next", Want{Path: "/"})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d earlier checks still wait", maxLost)) {
			t.Errorf("beyond the bound: %v", err)
		}
		if _, err := p.Open("").See(Want{Path: "/bin/sh", Head: Script}); err != nil {
			t.Errorf("what is in memory: %v", err)
		}
		if took := time.Since(began); took > Patience/2 {
			t.Errorf("it took %v", took)
		}
	})
	for end := time.Now().Add(10 * time.Second); p.countLost() > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d lookers do not die though the file system is gone", p.countLost())
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.forget()
	if s, err := p.Open("next").See(Want{Path: dir + "/next"}); err != nil || s.Errno != unix.ENOENT {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestTwoForOneAsker: one who asks for what does not answer has two lookers, and
// no more.
func TestTwoForOneAsker(t *testing.T) {
	dir := t.TempDir()
	p := newPool(t)
	rig.NewMount(t, dir, 0, nil).Hang()
	var all sync.WaitGroup
	began := time.Now()
	for i := range 6 {
		all.Go(func() {
			if _, err := p.Open("one").See(Want{Path: fmt.Sprintf("%s/%d", dir, i)}); err == nil {
				t.Error("a file system that does not answer was seen")
			}
		})
	}
	all.Wait()
	if took, n := time.Since(began), p.countLost(); took > 3*Patience || n > 2*perAsker {
		t.Errorf("six checks took %v and lost %d lookers", took, n)
	}
}

// TestLooker looks at the process itself: it holds nothing but its socket, is for
// nobody to look into, and is replaced when it dies.
func TestLooker(t *testing.T) {
	// As the monitor has it: what started this test may have left it open files.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	p := newPool(t)
	dir := t.TempDir()
	for i := range 3 {
		if _, err := p.ask("", Want{Path: dir}); err != nil {
			t.Fatal(err)
		}
		if len(p.idle) != 1 || len(p.dying) > 1 {
			t.Fatalf("%d are idle, %d dying", len(p.idle), len(p.dying))
		}
		l := p.idle[0]
		proc := fmt.Sprintf("/proc/%d", l.pid)
		for fd := range 3 {
			if target, _ := os.Readlink(fmt.Sprintf("%s/fd/%d", proc, fd)); target != "/dev/null" {
				t.Errorf("descriptor %d is %s", fd, target)
			}
		}
		entries, _ := os.ReadDir(proc + "/fd")
		for _, e := range entries {
			target, _ := os.Readlink(proc + "/fd/" + e.Name())
			ofTheRuntime := strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/sys/fs/cgroup/")
			if len(e.Name()) > 1 && !ofTheRuntime || e.Name() == "3" != strings.HasPrefix(target, "socket:") {
				t.Errorf("it holds %s: %s", e.Name(), target)
			}
		}
		if i > 0 {
			continue // the first dies while it is idle
		}
		if err := unix.Kill(l.pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	// Not dumpable: an ordinary process of the same user's files would be ours.
	if out, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.idle[0].pid)); err == nil && os.Getuid() != 0 {
		t.Errorf("its memory can be read: %q", out)
	}
}

func BenchmarkEyes(b *testing.B) {
	p := newPool(b)
	dir := b.TempDir()
	write(b, dir+"/opt/scan/scan.py", "")
	for b.Loop() {
		e := p.Open("")
		for _, want := range []Want{{Path: "/usr/bin/python3", Head: Script}, {Path: dir + "/opt/scan/scan.py"}, {Path: dir + "/opt/scan.toml"}} {
			if _, err := e.See(want); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkLooker(b *testing.B) {
	p := newPool(b)
	dir := b.TempDir()
	write(b, dir+"/opt/scan/scan.py", "")
	for b.Loop() {
		if _, err := p.ask("", Want{Path: dir + "/opt/scan/scan.py"}); err != nil {
			b.Fatal(err)
		}
	}
}

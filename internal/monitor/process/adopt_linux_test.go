package process

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// succeed hands everything that lives from one Host to the next, as a restart
// of the monitor does. The test process stays the parent, as a keeper would be
// after a monitor's death.
func succeed(t *testing.T, old *rig) *rig {
	t.Helper()
	return succeedWith(t, old, Options{KeeperPID: os.Getpid()})
}

func succeedWith(t *testing.T, old *rig, o Options) *rig {
	t.Helper()
	if err := old.Close(true); err != nil {
		t.Fatal(err)
	}
	r := openRigWith(t, old.Proof(), old.dir, o)
	t.Cleanup(func() {
		if err := r.Close(false); err != nil {
			t.Errorf("Close: %v", err)
		}
		noTrace(t, r.Host)
	})
	return r
}

// bury takes the status of a child, as a keeper does.
func bury(t *testing.T, pid int) (cgroup string, status unix.WaitStatus) {
	t.Helper()
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	cgroup, err := cgroupOf(itoa(pid))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	return cgroup, status
}

func want(t *testing.T, e Event, exit string) {
	t.Helper()
	if got, _ := json.Marshal(e.Exit); string(got) != exit {
		t.Errorf("%s: exit is %s, want %s", e.Leaf, got, exit)
	}
}

func TestAdopt(t *testing.T) {
	for _, proof := range proofs() {
		t.Run(proof, func(t *testing.T) {
			old := openRig(t, proof, t.TempDir())
			lives, _ := old.start("lives.1", "/bin/sleep", "1000")
			gone, _ := old.start("gone.1", "/bin/sh", "-c", "exit 9")
			quiet, _ := old.start("quiet.1", "/bin/sh", "-c", "sleep 0.3; exit 5")
			reborn, _ := old.start("reborn.1", "/bin/sleep", "1000")
			old.start("nameless.1", "/bin/sleep", "1000")
			old.wait("gone.1", Empty)
			r := succeed(t, old)
			nameless := Attempt{Leaf: "nameless.1"}
			adopted := []Attempt{lives, gone, quiet, nameless}
			if proof == ProofCgroup {
				adopted[1].PID = os.Getpid() // its number is now another's: it must not be touched
				// The right number in the right leaf, but of a process born later.
				adopted = append(adopted, Attempt{"reborn.1", reborn.PID, reborn.BootNS - 10*int64(time.Second)})
			} else {
				adopted = append(adopted, reborn)
			}
			for _, a := range adopted {
				if err := r.Adopt(a); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.Adopt(lives); err == nil {
				t.Error("it was adopted twice")
			}
			if n := len(r.Survivors("lives.1")); n != 1 {
				t.Errorf("%d survivors, want 1", n)
			}
			if proof == ProofCgroup {
				adoptedByCgroup(t, r, quiet)
			} else {
				want(t, r.wait("quiet.1", Exited), `{"code":5}`)
				_, _ = bury(t, quiet.PID)
				want(t, r.wait("gone.1", Exited), `{"code":9}`)
			}
			if killed, err := r.Kill("lives.1"); err != nil || killed != 1 {
				t.Errorf("Kill: %d, %v", killed, err)
			}
			cgroup, status := bury(t, lives.PID)
			told := r.ForeignExit(lives.PID, cgroup, status)
			if told && proof != ProofCgroup { // of a cgroup the kernel may have told it before
				t.Errorf("ForeignExit is %v", told)
			}
			want(t, r.wait("lives.1", Exited), `{"signal":"SIGKILL"}`)
			for _, leaf := range []string{"lives.1", "gone.1", "quiet.1"} {
				r.wait(leaf, Empty)
				r.Release(leaf)
			}
			for _, leaf := range []string{"nameless.1", "reborn.1"} {
				if _, err := r.Kill(leaf); err != nil {
					t.Error(err)
				}
				r.wait(leaf, Exited)
				r.wait(leaf, Empty)
				r.Release(leaf)
			}
			until(t, "every child is buried", func() bool { // but the forker, which lives
				pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
				return pid == 0 || errors.Is(err, unix.ECHILD)
			})
		})
	}
}

// adoptedByCgroup: an exit that nobody tells is exact where the kernel tells
// it after the reaping, and unknown otherwise; another's exit is not ours.
func adoptedByCgroup(t *testing.T, r *rig, quiet Attempt) {
	t.Helper()
	if r.ForeignExit(quiet.PID, "/elsewhere/quiet.1", 0) {
		t.Error("the exit of a process elsewhere was taken for ours")
	}
	bury(t, quiet.PID)
	e := r.wait("quiet.1", Exited)
	if kernelTells(t) {
		want(t, e, `{"code":5}`)
	} else if e.Exit.Unknown == "" {
		t.Errorf("exit is %+v, want unknown", e.Exit)
	}
	for _, leaf := range []string{"gone.1", "nameless.1", "reborn.1"} {
		if e := r.wait(leaf, Exited); e.Exit.Unknown == "" {
			t.Errorf("%s: exit is %+v, want unknown", leaf, e.Exit)
		}
	}
	r.wait("gone.1", Empty)
	if len(r.of("nameless.1", Empty)) > 0 {
		t.Error("Empty was told of a leaf in which one lives")
	}
}

func kernelTells(t *testing.T) bool {
	t.Helper()
	cmd := exec.Command("/bin/true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	_ = cmd.Wait()
	_, ok := pidfdExit(pidfd)
	return ok
}

// A subreaper that is killed takes its knowledge with it; nothing is guessed.
func TestKilledSubreaper(t *testing.T) {
	r := newRig(t, ProofSubreaper)
	a, _ := r.start("headless.1", "/bin/sleep", "0.2")
	if err := unix.Kill(a.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	want(t, r.wait("headless.1", Exited), `{"unknown":"its subreaper was killed, and with it the knowledge of what it started"}`)
	r.wait("headless.1", Empty)
	r.Release("headless.1")
}

// The first process may be gone long before an event of its leaf, and the
// queue of inotify may overflow: then every watched leaf is looked at.
func TestOverflowLosesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	r := newRig(t, ProofCgroup)
	r.start("over.1", "/bin/sh", "-c", "sleep 1000 & exit 0")
	r.wait("over.1", Exited)
	done := make(chan struct{})
	r.Host.mu.Lock()
	r.post(func(p *poller) {
		defer close(done)
		// As if the kernel had dropped the event: no watch tells any more.
		for watch := range p.byWatch {
			_, _ = unix.InotifyRmWatch(p.inotify, uint32(watch))
		}
		_, _ = unix.Read(p.inotify, make([]byte, 4096)) // what says that they were removed
		if _, err := p.Kill("over.1"); err != nil {
			t.Error(err)
		}
		for end := time.Now().Add(10 * time.Second); populated(p.tree.leaf("over.1")) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		p.changes(overflow())
	})
	r.Host.mu.Unlock()
	<-done
	r.wait("over.1", Empty)
	r.Release("over.1")
}

// overflow is the event by which inotify(7) says that others were lost.
func overflow() []byte {
	event := make([]byte, unix.SizeofInotifyEvent)
	copy(event, []byte{0xff, 0xff, 0xff, 0xff, 0, 0x40, 0, 0}) // wd -1, IN_Q_OVERFLOW
	return event
}

// A status that was told stays with the kernel until its end is durable: a
// monitor that dies in between has taken nothing.
func TestAStatusIsTakenByRelease(t *testing.T) {
	for _, proof := range proofs() {
		t.Run(proof, func(t *testing.T) {
			r := newRig(t, proof)
			a, _ := r.start("seven.1", "/bin/sh", "-c", "exit 7")
			want(t, r.wait("seven.1", Exited), `{"code":7}`)
			if s, err := readStat(a.PID); err != nil || s.state != "Z" {
				t.Errorf("before Release its process is %q, %v; want a zombie", s.state, err)
			}
			r.Release("seven.1")
			if s, err := readStat(a.PID); err == nil {
				t.Errorf("after Release its process is there: %q", s.state)
			}
		})
	}
}

// The birth of an attempt that no journal has is found by its leaf: by the mark,
// and without one by the oldest process, alive or a zombie, if that came up to
// the keeper; what such a process left behind is not taken for it.
func TestFindFirst(t *testing.T) {
	for _, proof := range proofs() {
		t.Run(proof, func(t *testing.T) {
			r := newRig(t, proof)
			r.options.KeeperPID = os.Getpid() // the parent of its children, as a keeper is after a monitor's death
			find := func(a Attempt, found bool) {
				t.Helper()
				if got, ok := r.FindFirst(a.Leaf); ok != found || found && got.PID != a.PID {
					t.Errorf("%s is process %d; found %d, %v", a.Leaf, a.PID, got.PID, ok)
				}
			}
			lives := r.play("lives.1", "@tree", "3", "term")
			zombie, _ := r.start("zombie.1", "/bin/true")
			r.wait("zombie.1", Empty)
			find(lives, true)
			find(zombie, true)
			find(Attempt{Leaf: "none.1"}, false)
			if proof != ProofCgroup {
				return
			}
			for _, a := range []Attempt{lives, zombie} {
				if err := unix.Removexattr(r.tree.leaf(a.Leaf), firstMark); err != nil {
					t.Fatal(err)
				}
				find(a, true)
			}
			r.Kill(lives.Leaf)
			r.wait(lives.Leaf, Exited)
			orphan := r.play("orphan.1", "@tree", "3", "term")
			if err := unix.Removexattr(r.tree.leaf(orphan.Leaf), firstMark); err != nil {
				t.Fatal(err)
			}
			r.options.KeeperPID = 1 // another than it was born under
			find(orphan, false)
		})
	}
}

// Close waits for births under way: what was born is left to be adopted, and
// what was refused was never born.
func TestCloseWaitsForBirths(t *testing.T) {
	for _, proof := range proofs() {
		t.Run(proof, func(t *testing.T) {
			old := openRig(t, proof, t.TempDir())
			acts := filepath.Join(old.dir, "acts")
			const n = 40
			var all sync.WaitGroup
			born := make([]Attempt, n)
			first := make(chan struct{}, n)
			for i := range n {
				all.Go(func() {
					leaf := fmt.Sprintf("birth-%d.1", i)
					born[i], _ = old.Start(context.Background(), Spec{Leaf: leaf, Argv: []string{"/bin/sh", "-c", `echo "$0" >>"$1"; exec sleep 1000`, leaf, acts}})
					first <- struct{}{}
				})
			}
			<-first
			r := succeed(t, old)
			all.Wait()
			for _, a := range born {
				if a.PID == 0 {
					continue
				}
				if err := r.Adopt(a); err != nil {
					t.Error(err)
				}
				until(t, a.Leaf+" acts", func() bool {
					text, _ := os.ReadFile(acts)
					return bytes.Contains(text, []byte(a.Leaf+"\n"))
				})
				if s, err := readStat(a.PID); err != nil || s.dead() {
					t.Errorf("%s was born, and does not live on", a.Leaf)
				}
			}
			text, err := os.ReadFile(acts)
			if err != nil {
				t.Fatal(err)
			}
			for i, a := range born {
				if leaf := fmt.Sprintf("birth-%d.1", i); a.PID == 0 && bytes.Contains(text, []byte(leaf+"\n")) {
					t.Errorf("%s was refused, and ran", leaf)
				}
			}
			for _, a := range born {
				if a.PID != 0 {
					if _, err := r.Kill(a.Leaf); err != nil {
						t.Error(err)
					}
					cgroup, status := bury(t, a.PID)
					r.ForeignExit(a.PID, cgroup, status)
				}
			}
		})
	}
}

// A subreaper begins its task only when told so after its finding is there: one
// whose monitor died before begins nothing, and one that comes second neither.
func TestASubreaperAloneBeginsNothing(t *testing.T) {
	dir := t.TempDir()
	o := order{StateDir: dir, Leaf: "one.1", Argv: []string{"/bin/touch", filepath.Join(dir, "begun")}, Dir: "/"}
	call := func() (socket *os.File, first answer, ended func()) {
		t.Helper()
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
		defer theirs.Close()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.StartProcess(self, []string{self, "@reaper", o.Leaf}, &os.ProcAttr{Files: []*os.File{nil, nil, os.Stderr, theirs}})
		if err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		if err := errors.Join(gob.NewEncoder(ours).Encode(o), gob.NewDecoder(ours).Decode(&first)); err != nil {
			t.Fatal(err)
		}
		return ours, first, func() {
			if state, err := p.Wait(); err != nil || state.ExitCode() != 1 {
				t.Errorf("it ended with %v, %v; want exit code 1", state, err)
			}
		}
	}
	socket, first, ended := call()
	if found, err := readFinding(dir, o.Leaf); first.Errno != 0 || err != nil || found.PID == 0 {
		t.Errorf("it said %v and left %+v, %v", first, found, err)
	}
	another, second, anotherEnded := call()
	anotherEnded()
	another.Close()
	if second.Errno != unix.EEXIST {
		t.Errorf("a second one said %v, want EEXIST", second)
	}
	socket.Close() // the monitor dies
	ended()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("it left %v, %v", entries, err)
	}
}

// A program that is executed in our place adopts what is its child: living, or a
// zombie whose status nobody took; and what was only not buried yet goes with its
// leaf.
func TestAdoptOwnChildren(t *testing.T) {
	for _, proof := range proofs() {
		t.Run(proof, func(t *testing.T) {
			old := openRig(t, proof, t.TempDir())
			lives, _ := old.start("lives.1", "/bin/sleep", "1000")
			zombie, _ := old.start("zombie.1", "/bin/sh", "-c", "exit 9")
			ended, _ := old.start("ended.1", "/bin/sh", "-c", "exit 8")
			for _, leaf := range []string{"zombie.1", "ended.1"} {
				old.wait(leaf, Exited)
				old.wait(leaf, Empty)
			}
			r := succeedWith(t, old, Options{})
			for _, a := range []Attempt{lives, zombie} {
				if err := r.Adopt(a); err != nil {
					t.Fatal(err)
				}
			}
			want(t, r.wait("zombie.1", Exited), `{"code":9}`)
			if s, err := readStat(zombie.PID); err != nil || s.state != "Z" {
				t.Errorf("before Release its process is %q, %v; want a zombie", s.state, err)
			}
			if r.ForeignExit(lives.PID, "/elsewhere", 0) {
				t.Error("another told of the end of a child of ours, and was believed")
			}
			if _, err := r.Kill("lives.1"); err != nil {
				t.Error(err)
			}
			want(t, r.wait("lives.1", Exited), `{"signal":"SIGKILL"}`)
			for _, leaf := range []string{"lives.1", "zombie.1", "ended.1"} {
				r.Release(leaf)
			}
			for _, a := range []Attempt{lives, zombie, ended} {
				until(t, a.Leaf+" is buried", func() bool { _, err := readStat(a.PID); return err != nil })
			}
		})
	}
}

// A pidfd that was kept tells the exit of a process that is gone; that of another
// process, or what is none, is not believed.
func TestAdoptByAKeptPidfd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	old := openRig(t, ProofCgroup, t.TempDir())
	kept := map[string]*os.File{"file.1": os.Stderr}
	var gone []Attempt
	for _, leaf := range []string{"kept.1", "swapped.1", "file.1"} {
		a, _ := old.start(leaf, "/bin/sh", "-c", "sleep 0.3; exit 7")
		gone = append(gone, a)
		f, err := old.Pidfd(leaf)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if leaf == "kept.1" {
			kept[leaf] = f
		}
	}
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	kept["swapped.1"] = os.NewFile(uintptr(self), "self")
	defer kept["swapped.1"].Close()
	for _, a := range gone {
		old.wait(a.Leaf, Empty)
	}
	if _, err := old.Pidfd("kept.1"); !errors.Is(err, ErrGone) {
		t.Errorf("the pidfd of what has ended: %v, want ErrGone", err)
	}
	for _, a := range gone { // as PID 1 does
		bury(t, a.PID)
	}
	r := succeedWith(t, old, Options{KeeperPID: os.Getpid(), Kept: kept})
	for _, a := range gone {
		if err := r.Adopt(a); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range gone {
		e := r.wait(a.Leaf, Exited)
		if a.Leaf == "kept.1" && kernelTells(t) {
			want(t, e, `{"code":7}`)
		} else if e.Exit.Unknown == "" {
			t.Errorf("%s: exit is %+v, want unknown", a.Leaf, e.Exit)
		}
		r.wait(a.Leaf, Empty)
		r.Release(a.Leaf)
	}
}

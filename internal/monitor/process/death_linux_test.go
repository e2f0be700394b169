package process

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kill proof: whatever a tree does, nothing of it lives after Empty.
func TestStopLeavesNothing(t *testing.T) {
	size := map[string]int{ProofCgroup: 1000, ProofSubreaper: 300}
	for _, proof := range proofs() {
		for _, how := range []string{"term", "ignore", "stop", "freeze"} {
			if how == "freeze" && proof == ProofSubreaper {
				continue // has no cgroup to freeze
			}
			t.Run(proof+"/"+how, func(t *testing.T) {
				r, n := newRig(t, proof), size[proof]
				leaf := fmt.Sprintf("%s-%s-%d.1", proof, how, os.Getpid())
				r.play(leaf, "@tree", fmt.Sprint(n), how, leaf)
				if got := len(living(leaf)); got != n && proof == ProofCgroup {
					t.Fatalf("%d processes live before the stop, want %d", got, n)
				}
				if err := r.Signal(leaf, unix.SIGTERM); err != nil {
					t.Fatalf("Signal: %v", err)
				}
				if how == "term" {
					if e := r.wait(leaf, Exited); e.Exit.Signal != "SIGTERM" {
						t.Errorf("exit is %+v, want SIGTERM", e.Exit)
					}
				} else {
					begun := time.Now()
					killed, err := r.Kill(leaf)
					if err != nil || killed != n {
						t.Errorf("Kill: %d, %v; want %d", killed, err, n)
					}
					if e := r.wait(leaf, Exited); e.Exit.Signal != "SIGKILL" {
						t.Errorf("exit is %+v, want SIGKILL", e.Exit)
					}
					r.wait(leaf, Empty)
					t.Logf("%d processes killed in %v", killed, time.Since(begun))
				}
				r.wait(leaf, Empty)
				if left := living(leaf); len(left) > 0 {
					t.Errorf("%d processes live after Empty: %v", len(left), r.Survivors(leaf))
				}
				if left := r.Survivors(leaf); len(left) > 0 {
					t.Errorf("survivors: %v", left)
				}
				if err := r.Signal(leaf, unix.SIGTERM); !errors.Is(err, ErrGone) {
					t.Errorf("Signal after the end: %v, want ErrGone", err)
				}
				r.Release(leaf)
			})
		}
	}
}

func TestKillEndsForkStorm(t *testing.T) {
	for _, proof := range proofs() {
		t.Run(proof, func(t *testing.T) {
			r := newRig(t, proof)
			leaf := fmt.Sprintf("storm-%s-%d.1", proof, os.Getpid())
			r.play(leaf, "@storm", "8", leaf)
			begun := time.Now()
			killed, err := r.Kill(leaf)
			if err != nil || killed == 0 {
				t.Errorf("Kill: %d, %v", killed, err)
			}
			r.wait(leaf, Empty)
			t.Logf("%d counted, empty after %v", killed, time.Since(begun))
			if left := living(leaf); len(left) > 0 {
				t.Errorf("%d processes live after Empty", len(left))
			}
		})
	}
}

// A task that runs as root may make cgroups of its own and move out of its
// leaf. The first is followed; of the second at least the first process dies.
func TestTaskChangesItsCgroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	for name, test := range map[string]struct {
		script string
		killed int
	}{
		"beneath": {`mkdir -p $D/a/b; sleep 1000 & echo $! >$D/a/b/cgroup.procs; echo $$ >$D/a/cgroup.procs; echo ready; wait`, 2},
		"frozen":  {`mkdir -p $D/a; sleep 1000 & echo $! >$D/a/cgroup.procs; echo 1 >$D/a/cgroup.freeze; echo ready; wait`, 2},
		"outside": {`sleep 1000 & echo $$ >$D/../../cgroup.procs; echo ready; exec sleep 1000`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ProofCgroup)
			leaf := "own.1"
			_, out := r.start(leaf, "/bin/sh", "-c", "D="+r.tree.leaf(leaf)+"; "+test.script)
			until(t, "the script is ready", func() bool { text, _ := os.ReadFile(out); return string(text) == "ready\n" })
			if killed, err := r.Kill(leaf); err != nil || killed != test.killed {
				t.Errorf("Kill: %d, %v; want %d", killed, err, test.killed)
			}
			r.wait(leaf, Exited)
			r.wait(leaf, Empty)
			r.Release(leaf)
			until(t, "the leaf is removed", func() bool { return !isDir(r.tree.leaf(leaf)) })
		})
	}
}

// Close ends what lives and puts us back where we were.
func TestCloseLeavesNothing(t *testing.T) {
	for _, proof := range proofs() {
		t.Run(proof, func(t *testing.T) {
			before, _ := cgroupOf("self")
			r := openRig(t, proof, t.TempDir())
			leaf := fmt.Sprintf("close-%s-%d.1", proof, os.Getpid())
			r.play(leaf, "@tree", "20", "ignore", leaf)
			if err := r.Close(false); err != nil {
				t.Fatal(err)
			}
			if left := living(leaf); len(left) > 0 {
				t.Errorf("%d processes live", len(left))
			}
			if len(r.of(leaf, Exited)) != 1 || len(r.of(leaf, Empty)) != 1 {
				t.Errorf("events: %v", r.events)
			}
			if after, _ := cgroupOf("self"); after != before {
				t.Errorf("our cgroup is %s, was %s", after, before)
			}
			if names, _ := os.ReadDir(r.dir); len(names) != 1 { // the output
				t.Errorf("files are left: %v", names)
			}
			noTrace(t, r.Host)
		})
	}
}

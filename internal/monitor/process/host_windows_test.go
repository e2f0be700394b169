package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"deputy"
)

// actEnv has this test program play a task: what it says is done.
const actEnv = "DEPUTY_ACT"

func TestMain(m *testing.M) {
	act, is := os.LookupEnv(actEnv)
	if !is {
		os.Exit(m.Run())
	}
	os.Exit(play(strings.Fields(act)))
}

// play does what a task is told: exit N; sleep; tree DEPTH, each of which starts
// the next and then sleeps; show.
func play(act []string) int {
	switch act[0] {
	case "exit":
		code, _ := strconv.ParseUint(act[1], 10, 32)
		windows.ExitProcess(uint32(code))
	case "show":
		fmt.Printf("%q\n%q\n", os.Args[1:], os.Environ())
		h, _ := strconv.ParseUint(act[1], 10, 64)
		fmt.Println(windows.GetProcessId(windows.Handle(h))) // 0, unless it is what the test means
		return 0
	case "tree":
		if depth, _ := strconv.Atoi(act[1]); depth > 0 {
			descend(depth - 1)
		}
	}
	time.Sleep(time.Hour)
	return 0
}

// descend starts a process that does all it can to be nobody's child.
func descend(depth int) {
	self, _ := os.Executable()
	c := exec.Command(self)
	c.Env = append(os.Environ(), fmt.Sprintf("%s=tree %d", actEnv, depth))
	c.SysProcAttr = &windows.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
	if err := c.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

// stage is a Host whose events can be waited for.
type stage struct {
	*Host
	events chan Event
}

func open(t *testing.T, o Options) *stage {
	t.Helper()
	s := &stage{events: make(chan Event, 1000)}
	o.Events = func(e Event) { s.events <- e }
	o.Instance = strconv.Itoa(os.Getpid())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Reaper = []string{self, "-reaper"}
	if s.Host, err = Open(o); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) next(t *testing.T) Event {
	t.Helper()
	select {
	case e := <-s.events:
		return e
	case <-time.After(60 * time.Second):
		t.Fatal("no event came")
		panic("unreachable")
	}
}

// end waits for both events of a leaf.
func (s *stage) end(t *testing.T, leaf string) deputy.Exit {
	t.Helper()
	var exit deputy.Exit
	for seen := 0; seen < 2; seen++ {
		e := s.next(t)
		if e.Leaf != leaf {
			t.Fatalf("an event of %s, not %s", e.Leaf, leaf)
		}
		if e.Kind == Exited {
			exit = e.Exit
		}
	}
	return exit
}

func spec(t *testing.T, leaf, act string, args ...string) Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return Spec{Leaf: leaf, Argv: append([]string{self}, args...), Stdout: out, Stderr: out,
		Env: []string{actEnv + "=" + act, "SystemRoot=" + os.Getenv("SystemRoot")}}
}

func begin(t *testing.T, s *stage, p Spec) Attempt {
	t.Helper()
	a, err := s.Start(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func waitLiving(t *testing.T, s *stage, leaf string, n int) []deputy.Survivor {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if living := s.Survivors(leaf); len(living) == n {
			return living
		}
	}
	t.Fatalf("not %d processes: %+v", n, s.Survivors(leaf))
	return nil
}

func TestBirthIsExact(t *testing.T) {
	s := open(t, Options{})
	defer s.Close(false)
	var stray windows.Handle // our own process's; inheritable, and not for the task
	if err := windows.DuplicateHandle(windows.CurrentProcess(), windows.CurrentProcess(), windows.CurrentProcess(), &stray, 0, true, windows.DUPLICATE_SAME_ACCESS); err != nil {
		t.Fatal(err)
	}
	defer windows.CloseHandle(stray)
	args := []string{"", " ", `a"b`, `c:\d\`, `\\"\`, "%PATH%", "a&b|c>d", "^", "'", "ä€😀", "-t", "\t"}
	p := spec(t, "birth", fmt.Sprintf("show %d", stray), args...)
	p.Env = append(p.Env, "A=1", "ü=ö")
	begin(t, s, p)
	s.end(t, "birth")
	text, err := os.ReadFile(p.Stdout.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%q\n", args)
	lines := strings.SplitAfter(string(text), "\n")
	if len(lines) < 3 || lines[0] != want {
		t.Fatalf("the task was given\n%s, not\n%s", text, want)
	}
	for _, v := range p.Env {
		if !strings.Contains(lines[1], strconv.Quote(v)) {
			t.Errorf("its environment %s lacks %s", lines[1], v)
		}
	}
	if strings.Contains(lines[1], "USERPROFILE") {
		t.Errorf("its environment %s has what was not declared", lines[1])
	}
	if lines[2] == fmt.Sprintln(os.Getpid()) {
		t.Error("it was given a handle beside its three")
	}
}

func TestALivingTreeIsFoundThoughNobodyHeldIt(t *testing.T) {
	first := open(t, Options{})
	a := begin(t, first, spec(t, "alone", "tree 2"))
	waitLiving(t, first, "alone", 3)
	if err := first.Close(true); err != nil {
		t.Fatal(err)
	}
	second := open(t, Options{})
	defer second.Close(false)
	if err := second.Adopt(a); err != nil {
		t.Fatal(err)
	}
	if killed, err := second.Kill("alone"); err != nil || killed != 3 {
		t.Errorf("killed %d of 3: %v", killed, err)
	}
	if exit := second.end(t, "alone"); exit.Code == nil || *exit.Code != killedCode {
		t.Errorf("it ended as %+v", exit)
	}
}

func TestAnAttemptThatNobodyHeldIsUnknown(t *testing.T) {
	first := open(t, Options{})
	a := begin(t, first, spec(t, "lost", "exit 0"))
	first.end(t, "lost")
	if err := first.Close(true); err != nil {
		t.Fatal(err)
	}
	second := open(t, Options{})
	defer second.Close(false)
	a.BootNS -= int64(time.Minute) // even if its number is another's by now
	if err := second.Adopt(a); err != nil {
		t.Fatal(err)
	}
	if exit := second.end(t, "lost"); exit.Unknown == "" {
		t.Errorf("it ended as %+v", exit)
	}
}

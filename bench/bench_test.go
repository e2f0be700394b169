//go:build linux

package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testBench has the children and, as root, a cgroup, but no deputy.
func testBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{temp: t.TempDir(), disk: t.TempDir()}
	var err error
	if b.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	if err := writeChildren(b.temp); err != nil {
		t.Fatal(err)
	}
	b.cgroup = openCgroup()
	t.Cleanup(b.close)
	return b
}

func TestChildrenDoWhatTheirNamesSay(t *testing.T) {
	b := testBench(t)
	pid, _, err := b.bareStart(childExit, nil)
	if err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || !status.Exited() || status.ExitStatus() != 0 {
		t.Errorf("exit ended with %v, %v", status, err)
	}
	if pid, _, err = b.bareStart(childPause, nil); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.Signal() != syscall.SIGTERM {
		t.Errorf("pause ended with %v, %v", status, err)
	}
}

func TestTreeIsWholeAndEnds(t *testing.T) {
	b := testBench(t)
	if b.cgroup == "" {
		if os.Geteuid() != 0 {
			t.Skip("needs root: make test as root runs it")
		}
		t.Fatal("cannot make a cgroup")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pid, leaf, err := b.bareStart(childTree, w)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatalf("a tree did not become whole: %v", err)
	}
	text, err := os.ReadFile(leaf + "/cgroup.procs")
	if n := strings.Count(string(text), "\n"); err != nil || n != treeSize+1 {
		t.Errorf("a tree has %d processes (%v)", n, err)
	}
	sessions := map[int]bool{}
	for field := range strings.FieldsSeq(string(text)) {
		stat, _ := os.ReadFile("/proc/" + field + "/stat")
		sessions[atoi(strings.Fields(string(stat))[5])] = true
	}
	if len(sessions) != treeSize+1 {
		t.Errorf("a tree has %d sessions", len(sessions))
	}
	if err := removeCgroup(leaf); err != nil {
		t.Error(err)
	}
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

func TestClosedLoopCountsAnswers(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	go servePlain(socket)
	if err := connectable(context.Background(), socket); err != nil {
		t.Fatal(err)
	}
	l, err := closedLoop(context.Background(), socket, 3, time.Minute, 100, get("/"), expectStatus(http.StatusOK))
	if err != nil || l.count != 100 || len(l.each) != 100 || l.rate() <= 0 {
		t.Errorf("%d answers, %d times, %v/s, %v", l.count, len(l.each), l.rate(), err)
	}
	if _, err := closedLoop(context.Background(), socket, 3, time.Minute, 9, get("/"), expectStatus(http.StatusTeapot)); err == nil {
		t.Error("a wrong answer was counted")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := closedLoop(ctx, socket, 1, time.Minute, 0, get("/"), expectStatus(http.StatusOK)); err == nil {
		t.Error("nothing said that the loop was cut short")
	}
}

func TestWriteTellsItsTime(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{temp: t.TempDir(), disk: t.TempDir()}
	if err := os.Symlink(self, b.program("bench")); err != nil {
		t.Fatal(err)
	}
	rate, err := b.writePlain(context.Background(), 100, 100_000)
	if err != nil || rate <= 0 {
		t.Errorf("%v MB/s, %v", rate, err)
	}
}

// TestMain lets the test binary act as the programs that a bench starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "@") {
		os.Exit(actAs(os.Args[1], os.Args[2:]))
	}
	os.Exit(m.Run())
}

func TestQuantile(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.2: 1, 0.21: 2, 0.5: 3, 0.99: 5, 1: 5} {
		if got := quantile(values, q); got != want {
			t.Errorf("the %v quantile is %v, not %v", q, got, want)
		}
	}
	if got := median([]time.Duration{}); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestRowSaysWhatItIsHeldAgainst(t *testing.T) {
	for _, c := range []struct {
		row  row
		want string
	}{
		{perSecond("limit: bare", 7391.4), "  limit: bare                                                  7,391 /s"},
		{perSecond("deputy", 2514).of(0.3401, "the limit").ratioAtLeast(0.35),
			"  deputy                                                       2,514 /s    0.34 × the limit  target ≥ 0.35 ×: missed"},
		{milliseconds("stop", 41500*time.Microsecond).atMost(100),
			"  stop                                                          41.5 ms    target ≤ 100 ms: reached"},
		{microseconds("answer", 400*time.Microsecond).of(2, "the limit").ratioAtMost(2),
			"  answer                                                         400 µs    2 × the limit  target ≤ 2.00 ×: reached"},
		{row{Name: "survivors"}.atMost(0), "  survivors                                                        0       target ≤ 0 : reached"},
	} {
		if got := c.row.String(); got != c.want {
			t.Errorf("\n%q, not\n%q", got, c.want)
		}
	}
}

func TestUsageOfThisProcessGrows(t *testing.T) {
	before, _ := timesOf(os.Getpid())
	for end := time.Now().Add(2 * time.Second); ; {
		if after, _ := timesOf(os.Getpid()); after > before {
			break
		}
		if time.Now().After(end) {
			t.Fatal("two busy seconds were not seen")
		}
	}
	if busy() == 0 {
		t.Error("this machine was never busy")
	}
	u := usage{monitor: 300 * time.Microsecond, machine: time.Millisecond}.plus(usage{monitor: 100 * time.Microsecond})
	if got := u.row("x", 2); got.Value != 500 || !strings.Contains(got.Note, "monitor 200,") {
		t.Errorf("%+v", got)
	}
}

func TestPartsAreChosenByName(t *testing.T) {
	_, chosen, err := parse([]string{"--only", "stop,accept"})
	if err != nil || len(chosen) != 2 || chosen[0].name != "accept" || chosen[1].name != "stop" {
		t.Errorf("%v, %v", chosen, err)
	}
	if _, _, err := parse([]string{"--only", "stops"}); err == nil {
		t.Error("a part that does not exist was chosen")
	}
}

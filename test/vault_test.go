//go:build linux

package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

const vaultModule = `
user = "root"
[allow]
users = ["uid:1", "uid:2"]
[action.tell]
params.secret = { type = "string", sensitive = true }
command = ["/bin/cat"]
stdin = "{secret}"
[action.plain]
command = ["/bin/true"]
[action.none]
stops = "locked"
lock = "x"
[action.locked]
lock = "x"
command = ["/bin/true"]
`

// vaultDeputy is one whose tasks lie on a file system that can be frozen.
func vaultDeputy(t *testing.T) (d *rig.Deputy, freeze, thaw func()) {
	t.Helper()
	rig.NeedRoot(t)
	d = prepare(t, vaultModule, rig.Files{"deputy.toml": installed}, "--installed")
	freeze, thaw = freezable(t, filepath.Join(d.State, "tasks"))
	d.Start()
	t.Cleanup(thaw) // before the deputy's end
	return d, freeze, thaw
}

// freezable puts a folder on a file system of its own. While that is frozen whoever
// writes to it waits, however long that takes.
func freezable(t *testing.T, dir string) (freeze, thaw func()) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.Mkdir(dir, 0o750), os.WriteFile(image, nil, 0o600), os.Truncate(image, 32<<20)); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	command("mkfs.ext4", "-q", "-m", "0", image)
	command("mount", "-o", "loop", image, dir)
	frozen := false
	freeze = func() { frozen = true; command("fsfreeze", "-f", dir) }
	thaw = func() {
		if frozen {
			frozen = false
			command("fsfreeze", "-u", dir)
		}
	}
	t.Cleanup(func() {
		thaw()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.Remove(filepath.Join(dir, "lost+found")); err != nil {
		t.Fatal(err)
	}
	return freeze, thaw
}

// writing waits until the monitor's threads wait for the frozen disk.
func writing(t *testing.T, d *rig.Deputy, threads int) {
	t.Helper()
	monitor := d.Part("--role monitor")
	rig.Eventually(t, 30*time.Second, fmt.Sprint(threads, " threads wait for the disk"), func() bool {
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", monitor))
		n := 0
		for _, path := range stats {
			text, _ := os.ReadFile(path)
			if _, rest, _ := strings.Cut(string(text), ") "); strings.HasPrefix(rest, "D ") {
				n++
			}
		}
		return n >= threads
	})
}

// told calls tell and gives their answers once all are there.
func told(c *rig.Caller, secret string, header ...string) <-chan rig.Answer {
	answer := make(chan rig.Answer, 1)
	go func() { answer <- c.Call("m/tell", text(`{"secret":%q}`, secret), header...) }()
	return answer
}

// directories are those in which something of a task lies.
func directories(t *testing.T, d *rig.Deputy) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(d.State, "tasks"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "spare-") { // put aside for the next task
			names = append(names, entry.Name())
		}
	}
	return names
}

// While the secrets of some requests cannot be written, all others are answered.
// Those go on when they can: of two equal ones with one key there is one task.
func TestSecretsThatWaitForTheDiskHoldUpNobody(t *testing.T) {
	d, freeze, thaw := vaultDeputy(t)
	one, two := d.As(1), d.As(2)
	freeze()
	waiting := []<-chan rig.Answer{
		told(one, "first", "Idempotency-Key", "k"), told(one, "first", "Idempotency-Key", "k"), told(one, "second"), told(two, "third"),
	}
	writing(t, d, 3) // two of one caller at most
	began := time.Now()
	for range 10 {
		two.Do("POST", "/v1/explain/m/plain", "").Read(t, 200, &deputy.Explanation{})
		two.Call("m/none", "").Tasks(t)
		two.Started("m/plain", "")
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("others were answered within %v", took)
	}
	select {
	case <-waiting[0]:
		t.Error("a request was accepted before its secret was written")
	default:
	}
	thaw()
	var given []string
	for i, secret := range []string{"first", "first", "second", "third"} {
		task := (<-waiting[i]).Tasks(t)[0]
		given = append(given, task.ID)
		caller := one
		if i == 3 {
			caller = two
		}
		if end := caller.Ended(task.ID); end.State != deputy.Succeeded || caller.Stdout(task.ID) != secret {
			t.Errorf("the task of %s: %s, %q", secret, end.State, caller.Stdout(task.ID))
		}
	}
	if given[0] != given[1] || len(slices.Compact(slices.Sorted(slices.Values(given)))) != 3 {
		t.Errorf("four requests, two of them the same, were given %v", given)
	}
	accepted := map[string]bool{}
	for _, e := range d.Events(deputy.Accepted) {
		for _, task := range e.Tasks {
			accepted[task.ID] = true
		}
	}
	if len(accepted) != 13 {
		t.Errorf("%d tasks were accepted, want 13", len(accepted))
	}
	rig.Eventually(t, 20*time.Second, "what was written twice is dropped", func() bool {
		return !slices.ContainsFunc(directories(t, d), func(id string) bool { return !accepted[id] })
	})
	rig.Eventually(t, 20*time.Second, "no secret is left", func() bool {
		left, _ := filepath.Glob(filepath.Join(d.State, "tasks", "*", "secrets"))
		return len(left) == 0
	})
	d.Verify()
}

// Secrets that are not on the disk in time are refused; nothing of them is left.
func TestSecretsThatAreNotWrittenInTimeAreRefused(t *testing.T) {
	d, freeze, thaw := vaultDeputy(t)
	freeze()
	one := d.As(1)
	var waiting []<-chan rig.Answer
	for i := range 6 { // two are being written, the others wait for these
		waiting = append(waiting, told(one, fmt.Sprint("secret ", i)))
	}
	writing(t, d, 2)
	for _, answer := range waiting {
		a := <-answer
		if refusal := a.Refused(t, 503, deputy.NotDurable); refusal.RetryAfter == 0 || a.Header.Get("Retry-After") == "" {
			t.Errorf("no time to come back: %+v", refusal)
		}
	}
	thaw()
	rig.Eventually(t, 20*time.Second, "what was written too late is dropped", func() bool { return len(directories(t, d)) == 0 })
	if n := len(d.Events(deputy.Accepted)); n != 0 {
		t.Errorf("%d requests were accepted", n)
	}
	task := (<-told(one, "again")).Tasks(t)[0]
	if one.Ended(task.ID); one.Stdout(task.ID) != "again" {
		t.Errorf("after that: %q", one.Stdout(task.ID))
	}
}

// One caller cannot have more written than its share.
func TestOneCallersSecretsAreBounded(t *testing.T) {
	d, freeze, thaw := vaultDeputy(t)
	freeze()
	one, two := d.As(1), d.As(2)
	const many = 80 // of which 64 may wait
	answers := make(chan rig.Answer, many)
	for i := range many {
		go func() { answers <- one.Call("m/tell", text(`{"secret":"%d"}`, i)) }()
	}
	for range many - 64 {
		(<-answers).Refused(t, 429, deputy.RateLimited)
	}
	other := told(two, "another's")
	writing(t, d, 3)
	thaw()
	for range 64 {
		(<-answers).Tasks(t)
	}
	task := (<-other).Tasks(t)[0]
	if two.Ended(task.ID); two.Stdout(task.ID) != "another's" {
		t.Errorf("another caller's: %q", two.Stdout(task.ID))
	}
}

// A start drops the secrets that a crash left behind, and no others.
func TestSecretsThatACrashLeftAreDropped(t *testing.T) {
	d, _, _ := vaultDeputy(t)
	one := d.As(1)
	task := (<-told(one, "kept")).Tasks(t)[0]
	one.Ended(task.ID)
	d.Stop()
	never := filepath.Join(d.State, "tasks", "01890a5d-ac96-774b-bcce-000000000001")
	if err := errors.Join(os.Mkdir(never, 0o700), os.WriteFile(filepath.Join(never, "secrets"), []byte(`{}`), 0o600),
		os.WriteFile(filepath.Join(d.State, "tasks", task.ID, "secrets"), []byte(`{}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	d.Start()
	rig.Eventually(t, 20*time.Second, "they are gone", func() bool {
		left, _ := filepath.Glob(filepath.Join(d.State, "tasks", "*", "secrets"))
		return len(left) == 0
	})
	rig.Eventually(t, 20*time.Second, "what never was is gone", func() bool { return slices.Equal(directories(t, d), []string{task.ID}) })
	if out := one.Stdout(task.ID); out != "kept" {
		t.Errorf("what the task wrote: %q", out)
	}
}

// A journal that failed is begun anew beside the loop: while the disk does not
// answer even that, others are told so at once, and what runs is stopped.
func TestAJournalThatCannotBeResumedHoldsUpNobody(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, vaultModule+"[action.sleep]\ncommand = [\"/bin/sleep\", \"1000\"]\n", rig.Files{"deputy.toml": installed}, "--installed")
	freeze, thaw := freezable(t, filepath.Join(d.State, "journal"))
	d.Start()
	t.Cleanup(thaw)
	one := d.As(1)
	task := one.Started("m/sleep", "")
	running(t, one, task.ID)
	mend := failing(t, d, "fdatasync,fsync:error=EIO")
	one.Call("m/plain", "").Refused(t, 500, deputy.OutcomeUnknown)
	freeze()
	mend()
	writing(t, d, 1) // it tries once more
	began := time.Now()
	for range 10 {
		one.Do("POST", "/v1/explain/m/plain", "").Read(t, 200, &deputy.Explanation{})
		one.Call("m/plain", "").Refused(t, 503, deputy.NotDurable)
	}
	one.Do("POST", "/v1/tasks/"+task.ID+"/stop", `{"grace":"0s"}`).Refused(t, 500, deputy.OutcomeUnknown)
	if took := time.Since(began); took > 15*time.Second || len(rig.Living(task.ID)) > 0 {
		t.Errorf("after %v there live %v", took, rig.Living(task.ID))
	}
	thaw()
	rig.Eventually(t, 30*time.Second, "it accepts again", func() bool { return one.Call("m/plain", "").Status == 202 })
	if end := one.Ended(task.ID); end.State != deputy.Stopped {
		t.Errorf("the stopped task is %s", end.State)
	}
	d.Verify()
}

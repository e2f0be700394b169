//go:build linux

package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

const progressModule = `
[allow]
users = ["uid:UID"]
[action.script]
command = ["/bin/sh", "-c", "PATH=BIN:$PATH; deputy progress 40 'copying\nall'; deputy progress 50%; read x <WORK/gate; deputy progress done"]
[action.env]
command = ["/usr/bin/env"]
[action.service]
command = ["/usr/bin/env"]
sd_notify = true
[action.long]
command = ["/bin/sleep", "1000"]
`

// everyProof runs a test where tasks are held by cgroups, and where they are not.
func everyProof(t *testing.T, do func(t *testing.T, args ...string)) {
	t.Helper()
	t.Run("cgroup", func(t *testing.T) { do(t) })
	t.Run("subreaper", func(t *testing.T) { do(t, "--no-cgroup") })
}

func progress(task deputy.Task) string {
	if task.Progress == nil {
		return ""
	}
	text := "-"
	if p := task.Progress.Percent; p != nil {
		text = fmt.Sprint(*p)
	}
	if m := task.Progress.Message; m != nil {
		text += " " + *m
	}
	return text
}

// A script tells its progress with deputy's own command line, which by hand does
// nothing.
func TestAScriptTellsItsProgress(t *testing.T) {
	everyProof(t, func(t *testing.T, args ...string) {
		d := prepare(t, strings.ReplaceAll(progressModule, "BIN", rig.Programs(t)), nil, args...)
		gate := newGate(t, filepath.Join(d.Work, "gate"))
		d.Start()
		c := d.Self()
		task := c.Started("m/script", "{}")
		rig.Eventually(t, 30*time.Second, "the progress is shown", func() bool { return progress(c.Task(task.ID)) == "50 copying all" })
		gate.open()
		if task = c.Ended(task.ID); task.State != deputy.Succeeded || task.Progress != nil {
			t.Errorf("%s, %s: %s; it wrote %q", task.State, progress(task), reason(task), c.Stdout(task.ID))
		}
	})
	for _, by := range []struct {
		status int
		socket string
		args   []string
	}{
		{0, "", []string{"40", "copying"}},
		{0, "/nothing/there", []string{"copying"}},
		{2, "", []string{"140"}},
		{2, "", []string{"many", "copying"}},
		{2, "", nil},
	} {
		cmd := exec.Command(filepath.Join(rig.Programs(t), "deputy"), append([]string{"progress"}, by.args...)...)
		cmd.Env = []string{"DEPUTY_NOTIFY_SOCKET=" + by.socket}
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != by.status {
			t.Errorf("deputy progress %q: %v: %s", by.args, cmd.ProcessState, out)
		}
	}
}

// Programs that find $NOTIFY_SOCKET take themselves for services: only an action
// that says so has it.
func TestOnlyWhoSpeaksSdNotifyFindsItsSocket(t *testing.T) {
	d := begin(t, progressModule, nil)
	c := d.Self()
	for action, want := range map[string]bool{"env": false, "service": true} {
		env := strings.Split(c.Stdout(c.Ended(c.Started("m/"+action, "{}").ID).ID), "\n")
		own, other := false, false
		for _, v := range env {
			own = own || v == "DEPUTY_NOTIFY_SOCKET="+filepath.Join(d.State, "notify")
			other = other || strings.HasPrefix(v, "NOTIFY_SOCKET=")
		}
		if !own || other != want {
			t.Errorf("%s has %q", action, env)
		}
	}
}

// Progress is that of the task whose process tells it: nobody else is heard, whatever
// its arguments look like.
func TestNobodyTellsTheProgressOfAnother(t *testing.T) {
	everyProof(t, func(t *testing.T, args ...string) {
		d := begin(t, progressModule, nil, args...)
		c := d.Self()
		task := running(t, c, c.Started("m/long", "{}").ID)
		notify := filepath.Join(d.State, "notify")
		forge := exec.Command("/bin/sh", "-c", `"$0" progress 66 forged; :`, filepath.Join(rig.Programs(t), "deputy"), "--role", "reaper", task.ID+".1")
		forge.Env = append(os.Environ(), "DEPUTY_NOTIFY_SOCKET="+notify)
		if out, err := forge.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: notify, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("X_PERCENT=77")); err != nil {
			t.Fatal(err)
		}
		// A real one that comes behind both is heard alone.
		other := c.Started("m/env", "{}")
		c.Ended(other.ID)
		if got := progress(c.Task(task.ID)); got != "" {
			t.Errorf("the progress is %q", got)
		}
		none(t, c.Stop(task.ID, `{"grace":"0s"}`))
	})
}

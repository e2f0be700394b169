//go:build linux

package test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"deputy"
	"deputy/test/rig"
)

const fileModule = `
user = "games"
[allow]
users = ["uid:0"]
[action.two]
command = ["/bin/cat", "{first}", "--", "{second}"]
params.first  = { type = "string", format = "path", under = "WORK/open", file = true }
params.second = { type = "string", format = "path", under = "WORK/open", file = true }
[action.fds]
command = ["/bin/ls", "-l", "{first}", "/proc/self/fd/"]
params.first  = { type = "string", format = "path", under = "WORK/open", file = true }
[action.input]
command = ["/bin/cat"]
stdin_file = "{file}"
params.file = { type = "string", format = "path", under = "WORK/open" }
[action.linked]
command = ["/bin/cat"]
stdin_file = "{file}"
params.file = { type = "string", format = "path", under = "WORK/link" }
`

// A declared file is opened by the task's own process, with its user's rights, by no
// link, across no mount; and it has to be a regular file. It is handed over open.
func TestFilesAreOpenedWithTheRightsOfTheTask(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, fileModule, rig.Files{"deputy.toml": installed}, "--installed")
	open := d.Work + "/open"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(open, 0o777))
	must(os.Mkdir(open+"/deep", 0o755))
	must(os.WriteFile(open+"/one", []byte("one\n"), 0o644))
	must(os.WriteFile(open+"/deep/two", []byte("two\n"), 0o644))
	must(os.WriteFile(open+"/secret", []byte("secret\n"), 0o600))
	must(os.Symlink("/etc/shadow", open+"/shadow"))
	must(os.Symlink(open+"/deep", open+"/way"))
	must(os.Symlink(open, d.Work+"/link"))
	must(syscall.Mkfifo(open+"/fifo", 0o666))
	must(os.Mkdir(open+"/mount", 0o755))
	must(syscall.Mount("none", open+"/mount", "tmpfs", 0, ""))
	t.Cleanup(func() { _ = syscall.Unmount(open+"/mount", 0) })
	must(os.WriteFile(open+"/mount/file", []byte("beyond\n"), 0o644))
	d.Start()
	c := d.Self()

	task := c.Ended(c.Started("m/two", `{"first":"`+open+`/one","second":"`+open+`/deep/two"}`).ID)
	if out := c.Stdout(task.ID); out != "one\ntwo\n" {
		t.Errorf("two files: %q; %s, %s", out, task.State, reason(task))
	}
	task = c.Ended(c.Started("m/fds", `{"first":"`+open+`/one"}`).ID)
	out := c.Stdout(task.ID)
	for _, want := range []string{" /dev/fd/3 -> " + open + "/one", " 3 -> " + open + "/one"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing: %s", want, out)
		}
	}
	if n := strings.Count(out, " -> "); n != 6 { // the argument, 0 to 3, and the folder that is being read
		t.Errorf("%d descriptors: %s", n, out)
	}
	task = c.Ended(c.Started("m/input", `{"file":"`+open+`/one"}`).ID)
	if out := c.Stdout(task.ID); out != "one\n" {
		t.Errorf("input: %q; %s, %s", out, task.State, reason(task))
	}
	for name, why := range map[string]string{
		"secret": "permission denied", "shadow": "too many levels of symbolic links", "way/two": "too many levels of symbolic links",
		"fifo": "it is not a regular file", "deep": "it is not a regular file", "none": "no such file", "mount/file": "invalid cross-device link",
	} {
		for _, action := range []string{"m/input", "m/fds"} {
			param := map[string]string{"m/input": "file", "m/fds": "first"}[action]
			task := c.Ended(c.Started(action, `{"`+param+`":"`+open+`/`+name+`"}`).ID)
			if task.State != deputy.Failed || !strings.Contains(reason(task), why) || !strings.Contains(reason(task), "beneath "+open) {
				t.Errorf("%s %s: %s, %s; want %s", action, name, task.State, reason(task), why)
			}
		}
	}
	task = c.Ended(c.Started("m/linked", `{"file":"`+d.Work+`/link/one"}`).ID)
	if task.State != deputy.Failed || !strings.Contains(reason(task), "too many levels of symbolic links") {
		t.Errorf("a link in under: %s, %s", task.State, reason(task))
	}
	d.Verify()
}

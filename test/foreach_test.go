//go:build linux

package test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deputy"
)

const eachModule = `
[allow]
users = ["uid:UID"]
[action.echo]
for_each = "word in words"
params.words = { type = "array", items = { type = "string" }, maxItems = 50 }
command = ["/bin/sh", "-c", 'echo "$1" >>WORK/said; echo "$1"', "echo", "{word}"]

[action.one]
for_each = "word in words"
params.words = { type = "array", items = { type = "string" }, maxItems = 50 }
lock = "one at a time"
command = ["/bin/echo", "{word}"]
`

// Equal items of one request share a task: the answer names it for each of them, a
// repeated request gives the same list, and whoever shows or follows tasks does so once.
func TestEqualItemsShareATask(t *testing.T) {
	d := begin(t, eachModule, nil)
	c := d.Self()
	const words = `{"words":["a","b","a","a"]}`
	first := ids(c.Call("m/echo?wait=30", words, "Idempotency-Key", "k").Tasks(t))
	if len(first) != 4 || first[0] != first[2] || first[0] != first[3] || first[0] == first[1] {
		t.Fatalf("the tasks of a, b, a, a: %v", first)
	}
	d.Stop()
	d.Start()
	if again := ids(c.Call("m/echo", words, "Idempotency-Key", "k").Tasks(t)); !slices.Equal(again, first) {
		t.Errorf("asked again with the same key: %v, want %v", again, first)
	}
	said := lines(t, filepath.Join(d.Work, "said"))
	slices.Sort(said)
	if !slices.Equal(said, []string{"a", "b"}) {
		t.Errorf("what ran: %v", said)
	}
	command := func(cmd *exec.Cmd) string {
		t.Helper()
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%v: %v, %s", cmd.Args, err, stderr.String())
		}
		return string(out)
	}
	if called := strings.Fields(command(d.Command("call", "m", "echo", "words=a", "words=a", "words=b"))); len(called) != 2 || called[0] == called[1] {
		t.Errorf("deputy call prints %q", called)
	}
	if ran := command(d.Command("run", "m", "echo", "words=a", "words=a")); ran != "a\n" {
		t.Errorf("deputy run of one task prints %q", ran)
	}
}

// Items that need one lock and differ are refused: one of them alone could run.
func TestItemsThatExcludeOneAnotherAreRefused(t *testing.T) {
	d := begin(t, eachModule, nil)
	c := d.Self()
	refusal := c.Call("m/one", `{"words":["a","b","a"]}`).Refused(t, 422, deputy.BadParam)
	var named []string
	for _, e := range refusal.Errors {
		named = append(named, e.Param)
	}
	if !slices.Equal(named, []string{"words[0]", "words[1]"}) {
		t.Errorf("the refusal names %v: %+v", named, refusal)
	}
	if n := len(d.Events(deputy.Accepted)); n != 0 {
		t.Errorf("%d requests were accepted", n)
	}
	if tasks := c.Call("m/one?wait=30", `{"words":["a","a"]}`).Tasks(t); len(tasks) != 2 || tasks[0].ID != tasks[1].ID {
		t.Errorf("equal ones: %+v", tasks)
	}
}

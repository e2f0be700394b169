//go:build linux

package test

import (
	"slices"
	"testing"

	"deputy"
	"deputy/test/rig"
)

// A lock of two params, as declared by whoever did not think of hyphens in them.
const siteModule = `
user = "root"
[[allow]]
users = ["uid:0"]
[[allow]]
users = ["uid:1"]
actions = ["end", "turned"]
where = { site = ["a"] }

[action.run]
lock = "{site}-{job}"
params.site = { type = "string" }
params.job = { type = "string" }
command = ["/bin/sleep", "1000"]
env = { SITE = "{site}", JOB = "{job}" }
grace = "0s"

[action.end]
stops = "run"
lock = "{site}-{job}"
params.site = { type = "string" }
params.job = { type = "string" }

[action.turned]
stops = "run"
lock = "{job}-{site}"
params.site = { type = "string" }
params.job = { type = "string" }
`

func TestLocksThatReadTheSameAreTwo(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, siteModule, rig.Files{"deputy.toml": installed}, "--installed")
	c := d.Self()
	one := c.Started("m/run", `{"site":"a-b","job":"c"}`)
	other := c.Started("m/run", `{"site":"a","job":"b-c"}`)
	if one.ID == other.ID || *one.Lock != "a-b-c" || *other.Lock != "a-b-c" {
		t.Fatalf("two locks: %+v and %+v", one, other)
	}
	running(t, c, one.ID)
	running(t, c, other.ID)
	d.Stop()
	d.Start() // both are known from the journal
	if again := c.Started("m/run", `{"site":"a-b","job":"c"}`); again.ID != one.ID {
		t.Errorf("joined %s, not %s", again.ID, one.ID)
	}
	var list struct{ Tasks []deputy.Task }
	c.Do("GET", "/v1/tasks?lock=a-b-c", "").Read(t, 200, &list)
	if got := ids(list.Tasks); !slices.Equal(got, []string{other.ID, one.ID}) {
		t.Errorf("the locks that read a-b-c are of %v", got)
	}
	// A rule that holds for site a reaches that one alone.
	bounded := d.As(1)
	if got := bounded.Call("m/end?wait=30", `{"site":"a","job":"b-c"}`).Tasks(t); len(got) != 1 || got[0].ID != other.ID || got[0].State != deputy.Stopped {
		t.Errorf("stopped %+v, want %s", got, other.ID)
	}
	bounded.Call("m/end", `{"site":"a-b","job":"c"}`).Refused(t, 403, deputy.NotAllowed)
	if task := c.Task(one.ID); task.State != deputy.Running {
		t.Errorf("site a-b's task is %s", task.State)
	}
}

// What a rule says of a param holds for the task that is stopped, too, whatever
// the two actions make their locks of.
func TestARuleBoundsWhatIsStopped(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, siteModule, rig.Files{"deputy.toml": installed}, "--installed")
	c := d.Self()
	task := c.Started("m/run", `{"site":"b","job":"a"}`)
	denied := len(d.Events(deputy.Denied))
	d.As(1).Call("m/turned", `{"site":"a","job":"b"}`).Refused(t, 403, deputy.NotAllowed)
	if now := running(t, c, task.ID); now.State != deputy.Running {
		t.Errorf("the task of another site is %s", now.State)
	}
	if now := len(d.Events(deputy.Denied)); now != denied+1 {
		t.Errorf("%d denials were recorded, want one", now-denied)
	}
	stopped := c.Call("m/turned?wait=30", `{"site":"a","job":"b"}`).Tasks(t) // a rule without values
	if len(stopped) != 1 || stopped[0].ID != task.ID {
		t.Errorf("stopped %+v", stopped)
	}
	own := c.Started("m/run", `{"site":"a","job":"a"}`)
	if stopped := d.As(1).Call("m/turned?wait=30", `{"site":"a","job":"a"}`).Tasks(t); len(stopped) != 1 || stopped[0].ID != own.ID {
		t.Errorf("stopped %+v, want %s", stopped, own.ID)
	}
}

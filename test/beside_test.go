//go:build linux

package test

import (
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// Values that take long to be held against their pattern.
const besideModule = `
user = "root"
max_body = "8MiB"
output = { cap = "16KiB" }
[allow]
users = ["uid:1"]
[action.secret]
params.text = { type = "string", sensitive = true, maxLength = 10000000, pattern = "^(?:([a-z]+[-_ ]?|[0-9] )*)$" }
command = ["/usr/bin/wc", "-c"]
stdin = "{text}"
[action.waits]
params.text = { type = "string", maxLength = 10000000, pattern = "^(?:([a-z]+[-_ ]?|[0-9] )*)$" }
lock = "x"
on_busy = "rerun"
command = ["/usr/bin/wc", "-c"]
stdin = "{text}"
[action.holds]
lock = "x"
grace = "0s"
command = ["/bin/sleep", "1000"]
`

// slowest asks again and again how the loop is until over is closed, and says how
// long that took at worst.
func slowest(c *rig.Caller, over <-chan struct{}) <-chan time.Duration {
	worst := make(chan time.Duration, 1)
	go func() {
		most := time.Duration(0)
		for {
			began := time.Now()
			_, err := c.Try("GET", "/healthz", "")
			if took := time.Since(began); err == nil {
				most = max(most, took)
			}
			select {
			case <-over:
				worst <- most
				return
			default:
			}
		}
	}()
	return worst
}

// What the policy says of a request once its secrets are written, and of a task that
// has waited, is found beside the loop, too, however long that takes.
func TestWhatIsDecidedAgainIsDecidedBesideTheLoop(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, besideModule, rig.Files{"deputy.toml": installed}, "--installed")
	one, root := d.As(1), d.Self()
	body := `{"text":"` + strings.Repeat("ab-cd_9 ", 5<<17) + `"}`
	began := time.Now()
	var x deputy.Explanation
	if one.Do("POST", "/v1/explain/m/secret", body).Read(t, 200, &x); !x.Allowed {
		t.Fatalf("%+v", x)
	}
	took := time.Since(began)
	during := func(what string, do func()) {
		t.Helper()
		over := make(chan struct{})
		worst := slowest(root, over)
		do()
		close(over)
		if w := <-worst; w > took/3 {
			t.Errorf("%s: the loop did not answer for %v, where one decision takes %v", what, w, took)
		} else {
			t.Logf("%s: the loop answered within %v, one decision takes %v", what, w, took)
		}
	}
	during("a secret", func() { one.Ended(one.Started("m/secret", body).ID) })

	holder := one.Started("m/holds", "")
	waits := one.Started("m/waits", body)
	running(t, one, holder.ID)
	d.Write(rig.Files{"allow.d/more.toml": "[[allow]]\nactions = [\"m/*\"]\nusers = [\"uid:2\"]\n"})
	root.Do("POST", "/v1/reload", "").Read(t, 200, &struct{}{})
	during("a task that waited", func() {
		one.Stop(holder.ID, "")
		if task := one.Ended(waits.ID); task.State != deputy.Succeeded {
			t.Errorf("the task that waited is %s: %s", task.State, reason(task))
		}
	})
	d.Verify()
}

package admission

import (
	"testing"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
)

// A task that was sealed by an earlier version is joined by the same party with the
// same values, too.
func TestSealsOfAnEarlierVersion(t *testing.T) {
	ad := &Admission{Options: Options{Seal: func(text string) string { return "sealed " + text }}}
	ask := func(caller deputy.Caller, pin string) (*admission, *policy.Item) {
		return &admission{ad: ad, id: policy.Identity{Caller: caller}, plan: &policy.Plan{Action: &manifest.Action{Name: "a"}}},
			&policy.Item{Params: map[string]any{"who": "x"}, Secrets: map[string]any{"pin": pin}}
	}
	for name, seal := range map[string]string{"earlier": ad.Seal("1234"), "now": ad.Seal.OfTask("t")("pin", "1234")} {
		task := &state.Task{ID: "t", LiveTask: deputy.LiveTask{Action: "a", Caller: "uid:1", Params: deputy.Params{"who": "x", "pin": seal}}, Terms: state.Terms{Secret: true}}
		for _, c := range []struct {
			caller deputy.Caller
			pin    string
			want   bool
		}{{"uid:1", "1234", true}, {"uid:1", "1235", false}, {"uid:2", "1234", false}} {
			if a, item := ask(c.caller, c.pin); a.same(item, task) != c.want {
				t.Errorf("%s: %s with %s joins: %v", name, c.caller, c.pin, !c.want)
			}
		}
	}
}

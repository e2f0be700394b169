package policy

import (
	"slices"
	"strings"
	"testing"

	"deputy"
)

func numbers(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = int64(i)
	}
	return list
}

// What can never be served is refused for what it is, before anything is made of it.
func TestListsThatCanNeverBeServed(t *testing.T) {
	p := fixture(t, rule(1, everything))
	p.set.Config.Default.Live = 5
	p.set.Modules["scan"].Actions["start"].Params["task_ids"].MaxItems = nil
	p.set.Modules["scan"].Actions["stop"].Params["task_ids"].MaxItems = nil
	same := slices.Repeat([]any{int64(1)}, 100)
	for _, c := range []struct {
		action string
		list   []any
		want   string // empty: it is taken
	}{
		{"start", numbers(5), ""},
		{"start", same, ""}, // one task
		{"start", numbers(6), "has 6 items, and one caller may have at most 5 live tasks ([defaults] per_caller.live)"},
		{"start", numbers(4097), "has 4097 items, and a request may have at most 4096"},
		{"stop", numbers(100), ""}, // starts nothing
		{"stop", numbers(4097), "has 4097 items, and a request may have at most 4096"},
	} {
		_, refusal := p.Admit(www, "scan", c.action, deputy.Params{"task_ids": c.list})
		if c.want == "" {
			if refusal != nil {
				t.Errorf("%s of %d items: %v", c.action, len(c.list), refusal)
			}
			continue
		}
		if refusal == nil || refusal.Code != deputy.BadParam || len(refusal.Errors) != 1 || refusal.Errors[0].Param != "task_ids" ||
			!strings.Contains(refusal.Detail, c.want) || refusal.RetryAfter != 0 {
			t.Errorf("%s of %d items: %+v", c.action, len(c.list), refusal)
		}
	}
}

// For a caller whom no rule names nothing is evaluated: wrong values are not told
// from right ones.
func TestExplainEvaluatesNothingForWhomNoRuleNames(t *testing.T) {
	p := fixture(t, rule(1, everything))
	x := p.Explain(nobody, "scan", "start", deputy.Params{"task_ids": "wrong"}, false)
	if x.Allowed || x.Error == nil || x.Error.Code != deputy.NotAllowed || x.Denied != nil || x.Tasks != nil {
		t.Errorf("%+v", x)
	}
	if x := p.Explain(nobody, "scan", "start", deputy.Params{"task_ids": "wrong"}, true); len(x.Denied) != 1 {
		t.Errorf("an auditor is told of %d rules", len(x.Denied))
	}
}

// An explanation shows what would run as far as there is room.
func TestAnExplanationHasALargestSize(t *testing.T) {
	p := fixture(t, rule(1, everything))
	label := strings.Repeat("x", 20<<10)
	x := p.Explain(www, "scan", "start", deputy.Params{"task_ids": numbers(100), "label": label}, false)
	if !x.Allowed || len(x.Tasks) == 0 || len(x.Tasks) > 13 || len(x.Tasks)+x.More != 100 {
		t.Errorf("allowed %v: %d tasks are shown and %d are not", x.Allowed, len(x.Tasks), x.More)
	}
}

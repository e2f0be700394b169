package deputy

import (
	"encoding/json"
	"testing"
)

func TestGrantNames(t *testing.T) {
	for pattern, want := range map[string]bool{
		"scan/start": true, "scan/*": true, "*": true,
		"scan/stop": false, "scan": false, "sca*": false, "scan/s*": false, "*/start": false, "Scan/*": false, "/*": false, "": false,
	} {
		if got := (Grant{Actions: []string{pattern}}).Names("scan", "start"); got != want {
			t.Errorf("%q: %v", pattern, got)
		}
	}
	if (Grant{}).Names("scan", "start") {
		t.Error("a grant of nothing names an action")
	}
}

func TestGrantCovers(t *testing.T) {
	where := map[string][]any{"v": {"a", "1", int64(2), 0.5, true, 1e21}}
	for _, c := range []struct {
		value any
		want  bool
	}{
		{"a", true}, {"A", false}, {"1", true}, {int64(1), false}, {Number("1"), false},
		{int64(2), true}, {2.0, true}, {json.Number("2"), true}, {Number("2.0"), true}, {"2", false},
		{0.5, true}, {Number("0.50"), true}, {json.Number("5e-1"), true}, {true, true}, {"true", false}, {false, false},
		{json.Number("1e+21"), true}, {nil, false}, {"", false},
		{[]any{"a", int64(2)}, true}, {[]any{"a", "b"}, false}, {[]any{}, false}, {[]any{[]any{}}, false},
		{map[string]any{"v": "a"}, false},
	} {
		g := Grant{Actions: []string{"*"}, Where: where}
		if got := g.Covers("m", "a", map[string]any{"v": c.value}); got != c.want {
			t.Errorf("%#v: %v", c.value, got)
		}
	}
	g := Grant{Actions: []string{"*"}, Where: map[string][]any{"v": {}}}
	if g.Covers("m", "a", map[string]any{"v": "a"}) || g.Covers("m", "a", nil) {
		t.Error("a condition that no value meets was met")
	}
}

//go:build unix

package proof

import (
	"strings"
	"testing"
)

// What a program says of itself is its last line; whatever else it does is no proof.
func TestOf(t *testing.T) {
	for name, c := range map[string]struct{ script, version, refused string }{
		"it can start":       {"echo a warning; echo 'deputyd 1.2.3, wall 4'", "1.2.3", ""},
		"it fails":           {"echo no such file; exit 1", "", "cannot start: exit status 1: no such file"},
		"it is another":      {"echo 'nginx 1.2, wall 4'", "", "no deputyd that can be upgraded to"},
		"it says nothing":    {"exit 0", "", "no deputyd that can be upgraded to"},
		"it says not enough": {"echo 'deputyd 1.2.3'", "", "no deputyd that can be upgraded to"},
	} {
		got, err := Of("deputyd", "/bin/sh", []string{"sh", "-c", c.script}, nil)
		switch {
		case c.refused != "":
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v, want %q", name, err, c.refused)
			}
		case err != nil || got != (Proved{c.version, "4"}):
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := Of("deputyd", "/no/such/program", []string{"deputyd"}, nil); err == nil || !strings.Contains(err.Error(), "deputyd cannot start") {
		t.Errorf("there is none: %v", err)
	}
}

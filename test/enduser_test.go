//go:build linux

package test

import (
	"strings"
	"testing"

	"deputy/test/rig"
)

// One caller asks for many people: behind a web page all are its uid. A request
// that names one of them sees and stops what was asked for in that name alone.
func TestAnEndUserReachesOnlyWhatWasAskedForInThatName(t *testing.T) {
	rig.NeedRoot(t)
	d := rig.Start(t, rig.Files{
		"deputy.toml":      "[user.daemon]\nnames_end_user = true\n",
		"modules.d/m.toml": "[allow]\nusers = [\"uid:1\"]\n[action.sleep]\ncommand = [\"/bin/sleep\", \"1000\"]\n",
	})
	panel := d.As(1, 1)
	defer panel.Close()
	named := func(name string) []string {
		if name == "" {
			return nil
		}
		return []string{"Deputy-End-User", name}
	}
	alices := panel.Started("m/sleep", "{}", named("alice")...).ID
	for _, try := range []struct {
		name, method, path string
		want               int
	}{
		{"alice", "GET", "/v1/tasks/" + alices, 200},
		{"bob", "GET", "/v1/tasks/" + alices, 404},
		{"bob", "GET", "/v1/tasks/" + alices + "/stdout", 404},
		{"bob", "POST", "/v1/tasks/" + alices + "/stop", 404},
		{"", "GET", "/v1/tasks/" + alices, 200},
		{"alice", "POST", "/v1/tasks/" + alices + "/stop", 200},
	} {
		if answer := panel.Do(try.method, try.path, "", named(try.name)...); answer.Status != try.want {
			t.Errorf("%q %s %s: %d, want %d: %s", try.name, try.method, try.path, answer.Status, try.want, answer.Body)
		}
	}
	for name, want := range map[string]bool{"alice": true, "": true, "bob": false} {
		if list := panel.Do("GET", "/v1/tasks", "", named(name)...); strings.Contains(string(list.Body), alices) != want {
			t.Errorf("the list of %q: %s", name, list.Body)
		}
	}
}

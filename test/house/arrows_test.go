//go:build linux

package house_test

import (
	"slices"
	"strings"
	"testing"
)

// layers are the rooms of the monitor, from those that know no other to the one that
// knows all. A room imports only rooms of the rows above its own in this list, never one
// beside it: so who reads a room has read before what it stands on.
var layers = [][]string{
	{"clock", "confine", "durable", "look", "manifest/schema", "manifest/template", "proof", "queue", "schedule"}, // the machine, the values
	{"journal", "loop", "process", "site", "userdb"},
	{"keeper", "manifest", "vault"},
	{"manager", "policy", "sockets", "space", "turns", "warden"},
	{"birth", "reception", "state", "strays"}, // what there is
	{"callers", "ledger", "queues"},
	{"recheck"},
	{"signers", "tasks"}, // what is done
	{"admission", "waits"},
	{"requests"},
	{""}, // the monitor itself: the loop's handlers, and who is given what
}

// upward are the arrows that run back up all the same, each with its reason. There is none.
var upward = map[string]string{}

// stages are for tests alone: nothing that is built imports them.
var stages = []string{"journal/fakejournal", "process/fakehost", "process/hosttest", "rehearsal"}

func TestArrowsRunDown(t *testing.T) {
	layer := map[string]int{}
	for i, row := range layers {
		for _, room := range row {
			layer[room] = i
		}
	}
	used := map[string]bool{}
	for _, system := range []string{"linux/amd64", "windows/amd64", "darwin/arm64", "freebsd/amd64"} {
		for _, p := range list(t, system, monitorPath+"/...") {
			from := roomOf(p.ImportPath)
			if slices.Contains(stages, from) {
				continue
			}
			mine, ok := layer[from]
			if !ok {
				t.Errorf("the room %q has no place: add it to layers, above what it imports", from)
				continue
			}
			for _, path := range p.Imports {
				if path != monitorPath && !strings.HasPrefix(path, monitorPath+"/") {
					continue
				}
				to := roomOf(path)
				arrow := from + " -> " + to
				switch its, ok := layer[to]; {
				case !ok:
					t.Errorf("%s imports %s, which is for tests alone (%s)", p.ImportPath, path, system)
				case its < mine:
				case upward[arrow] != "":
					used[arrow] = true
				default:
					t.Errorf("%s imports %s, which does not lie below it (%s): let it be given what it needs (wiring.go), or move what both need into a room below them", p.ImportPath, path, system)
				}
			}
		}
	}
	for arrow := range upward {
		if !used[arrow] {
			t.Errorf("the arrow %s is gone: take it off the list", arrow)
		}
	}
}

// roomOf is a package's name below the monitor; of the monitor itself it is empty.
func roomOf(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, monitorPath), "/")
}

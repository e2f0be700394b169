//go:build linux

package house_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deputy/test/rig"
)

// monitorPath is the package that the rooms lie below.
const monitorPath = "deputy/internal/monitor"

// rooms are the monitor itself and what was made of it. Each can be read in an hour.
var rooms = []string{
	monitorPath,
	monitorPath + "/admission", monitorPath + "/birth", monitorPath + "/callers", monitorPath + "/clock",
	monitorPath + "/durable", monitorPath + "/ledger", monitorPath + "/loop", monitorPath + "/manager", monitorPath + "/proof",
	monitorPath + "/queue", monitorPath + "/queues", monitorPath + "/reception", monitorPath + "/requests",
	monitorPath + "/schedule", monitorPath + "/signers", monitorPath + "/site", monitorPath + "/sockets",
	monitorPath + "/space", monitorPath + "/state", monitorPath + "/recheck", monitorPath + "/strays", monitorPath + "/tasks", monitorPath + "/turns",
	monitorPath + "/vault", monitorPath + "/waits", monitorPath + "/warden",
}

const (
	maxRoom    = 1200 // lines of Go that Linux builds, tests aside
	maxMembers = 20   // of monitor.Monitor
)

// listed is a package as the go command describes it.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Standard   bool
}

// list describes packages, as they are built for a system such as linux/amd64.
func list(t *testing.T, system string, args ...string) []listed {
	t.Helper()
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,GoFiles,Imports,Standard"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), target(system)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list %v for %s: %v", args, system, err)
	}
	var found []listed
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
	return found
}

// parse reads one Go file, with its comments.
func parse(t *testing.T, path string) (*token.FileSet, *ast.File) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return set, file
}

// What a Monitor has is what a newcomer has to know before anything else.
func TestTheMonitorHasFewMembers(t *testing.T) {
	members := 0
	for _, p := range list(t, "linux/amd64", monitorPath) {
		for _, name := range p.GoFiles {
			_, file := parse(t, filepath.Join(p.Dir, name))
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok || spec.Name.Name != "Monitor" {
					return true
				}
				for _, f := range spec.Type.(*ast.StructType).Fields.List {
					members += max(1, len(f.Names))
				}
				return false
			})
		}
	}
	if members == 0 || members > maxMembers {
		t.Errorf("monitor.Monitor has %d members, at most %d are allowed: give what belongs together to a room of its own, or make it a noun, as machine is", members, maxMembers)
	}
}

func TestNoRoomIsTooLarge(t *testing.T) {
	for _, p := range list(t, "linux/amd64", rooms...) {
		lines := 0
		for _, name := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(text, []byte{'\n'})
		}
		if lines > maxRoom {
			t.Errorf("%s has %d lines for Linux, at most %d are allowed: move what stands by itself into a room beside it", p.ImportPath, lines, maxRoom)
		}
	}
}

// A new room of the monitor is listed here, so that it is held to the same.
func TestEveryRoomIsListed(t *testing.T) {
	older := []string{"confine", "journal", "keeper", "look", "manifest", "policy", "process", "userdb"}
	for _, p := range list(t, "linux/amd64", monitorPath+"/...") {
		room, inside, _ := strings.Cut(strings.TrimPrefix(p.ImportPath, monitorPath+"/"), "/")
		if inside != "" || len(p.GoFiles) == 0 || slices.Contains(older, room) {
			continue
		}
		if !slices.Contains(rooms, p.ImportPath) {
			t.Errorf("%s is a room that is not listed: add it to rooms and to layers", p.ImportPath)
		}
	}
}

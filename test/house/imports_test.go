//go:build linux

// Package house_test holds the lines of the house: what imports what, and that it
// compiles for every system.
package house_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"deputy/test/rig"
)

// systems are those that deputy is built for.
var systems = []string{"linux/amd64", "linux/arm64", "linux/386", "linux/riscv64", "windows/amd64", "windows/arm64", "darwin/arm64", "freebsd/amd64"}

// deps lists all packages that are linked into a program on Linux, the program
// included.
func deps(t *testing.T, pkg string) []string { return depsOn(t, "linux/amd64", pkg) }

func depsOn(t *testing.T, system, pkg string) []string {
	t.Helper()
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-deps", pkg)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), target(system)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list what %s imports: %v", pkg, err)
	}
	return strings.Fields(string(out))
}

// target is what the go command reads a system from.
func target(system string) []string {
	goos, goarch, _ := strings.Cut(system, "/")
	return []string{"CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + goarch}
}

// What is not linked into deputyd cannot run as root. Each name has its reason.
func TestWhatDeputydDoesNotContain(t *testing.T) {
	forbidden := map[string]string{
		"net":                    "every byte from a network is parsed by the server first",
		"net/http":               "every byte from a network is parsed by the server first",
		"net/rpc":                "every byte from a network is parsed by the server first",
		"crypto/tls":             "TCP listeners are the server's",
		"database/sql":           "the history is the server's",
		"os/exec":                "it looks programs up in PATH; tasks name theirs in full",
		"encoding/xml":           "nothing of ours is XML",
		"html/template":          "pages are the server's",
		"text/template":          "a manifest's templates are not a language",
		"plugin":                 "code of others does not run as root",
		"deputy/internal/server": "it is the other side of the wall",
		"deputy/client":          "the monitor asks nobody",
	}
	allowed := []string{"golang.org/x/sys", "github.com/pelletier/go-toml/v2"}
	for _, system := range []string{"linux/amd64", "windows/amd64", "darwin/arm64", "freebsd/amd64"} {
		for _, pkg := range depsOn(t, system, "deputy/cmd/deputyd") {
			for name, why := range forbidden {
				if pkg == "net" && strings.HasPrefix(system, "windows/") {
					continue // x/sys/windows names types of it, and calls nothing
				}
				if pkg == name || strings.HasPrefix(pkg, "deputy/internal/server/") {
					t.Errorf("deputyd for %s contains %s: %s", system, pkg, why)
					break
				}
			}
			first, _, _ := strings.Cut(pkg, "/")
			if strings.Contains(first, ".") && !slices.ContainsFunc(allowed, func(a string) bool { return pkg == a || strings.HasPrefix(pkg, a+"/") }) {
				t.Errorf("deputyd for %s contains %s, of others: only x/sys and one TOML library run as root", system, pkg)
			}
		}
	}
}

// Imports point one way; the folder says on which side of the wall code lives.
func TestLayers(t *testing.T) {
	for _, rule := range []struct{ pkg, not, why string }{
		{"deputy/cmd/deputy-server", "deputy/internal/monitor", "nothing under server imports anything under monitor"},
		{"deputy/client", "deputy/internal/monitor", "its user inherits no dependency"},
		{"deputy/client", "deputy/internal/server", "its user inherits no dependency"},
		{"deputy/client", "github.com", "its user inherits no dependency"},
		{"deputy/client", "golang.org", "its user inherits no dependency"},
		{"deputy/internal/wall", "deputy/internal/monitor", "both sides use it"},
		{"deputy/internal/wall", "deputy/internal/server", "both sides use it"},
		{"deputy/internal/output", "deputy/internal/monitor", "both sides use it"},
		{"deputy/internal/strictjson", "deputy/internal/monitor", "both sides use it"},
		{"deputy/internal/request", "deputy/internal/monitor", "both sides use it"},
		{"deputy/internal/request", "deputy/internal/server", "both sides use it"},
		{"deputy/internal/server/history", "deputy/internal/server/httpapi", "a front door uses the history, not the other way"},
		{"deputy/internal/server/history", "deputy/internal/server/asker", "who sees what is decided above what there is"},
		{"deputy/internal/server/asker", "deputy/internal/server/history", "it is the same for every front door, and asks for one task at a time"},
		{"deputy/internal/server/asker", "deputy/internal/server/httpapi", "front doors use it, not the other way"},
		{"deputy/internal/server/asker", "deputy/internal/server/lineproto", "front doors use it, not the other way"},
		{"deputy/internal/server/asker", "deputy/internal/server/tcp", "front doors use it, not the other way"},
		{"deputy/internal/server/asker", "net/http", "it knows no form of a request"},
		{"deputy/internal/server/lineproto", "deputy/internal/server/httpapi", "front doors never import each other"},
		{"deputy/internal/server/httpapi", "deputy/internal/server/lineproto", "front doors never import each other"},
		{"deputy/internal/server/httpapi", "deputy/internal/server/tcp", "front doors never import each other"},
		{"deputy/internal/server/tcp", "deputy/internal/server/httpapi", "front doors never import each other"},
		{"deputy/internal/server/tcp", "deputy/internal/server/lineproto", "front doors never import each other"},
		{"deputy", "deputy/internal", "the nouns know nothing"},
	} {
		for _, pkg := range append(deps(t, rule.pkg), depsOn(t, "windows/amd64", rule.pkg)...) {
			if pkg == rule.not || strings.HasPrefix(pkg, rule.not+"/") {
				t.Errorf("%s imports %s: %s", rule.pkg, pkg, rule.why)
			}
		}
	}
}

// The keeper is so small that it can be read in five minutes.
func TestKeeperImportsLittle(t *testing.T) {
	for _, pkg := range append(deps(t, "deputy/internal/monitor/keeper"), depsOn(t, "darwin/arm64", "deputy/internal/monitor/keeper")...) {
		if strings.HasPrefix(pkg, "deputy") && pkg != "deputy/internal/monitor/keeper" {
			t.Errorf("the keeper imports %s: it reads no configuration and parses nothing", pkg)
		}
		if pkg == "encoding/json" || pkg == "net" {
			t.Errorf("the keeper imports %s", pkg)
		}
	}
}

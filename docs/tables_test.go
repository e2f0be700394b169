//go:build linux

package docs_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/manifest/schema"
	"deputy/test/rig"
)

// table gives the words in `code` of the first columns of the table that
// follows <!-- mark -->, sorted; column counts from 0.
func table(t *testing.T, document, mark string, column int) []string {
	t.Helper()
	_, text, ok := strings.Cut(read(t, document), "<!-- "+mark+" -->\n")
	if !ok {
		t.Fatalf("%s has no table %q", document, mark)
	}
	text, _, _ = strings.Cut(text, "\n\n")
	var words []string
	for _, line := range strings.Split(text, "\n")[2:] {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.Split(line, " | ")[column], -1) {
			words = append(words, m[1])
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// known gives the keys that the loader itself names when it meets one that it
// does not know, sorted.
func known(t *testing.T, file, text string) []string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := manifest.CheckFiles([]string{path}, manifest.Options{UID: uint32(os.Geteuid())})
	m := regexp.MustCompile(`\^ (?:did you mean .*\? )?the keys of [a-z. ]+ are: (.*)`).FindStringSubmatch(err.Error())
	if m == nil {
		t.Fatalf("the loader does not list its keys: %v", err)
	}
	return strings.Split(m[1], ", ")
}

func same(t *testing.T, what string, documented, real []string) {
	t.Helper()
	slices.Sort(real)
	if !slices.Equal(documented, real) {
		t.Errorf("%s: the document has %q, deputy has %q", what, documented, real)
	}
}

func TestKeysOfManifests(t *testing.T) {
	const document = "manifest.md"
	action := table(t, document, "keys: an action", 0)
	same(t, "an action", action, known(t, "modules.d/m.toml", "[action.a]\nqqqqqqqqqqqq = 1\ncommand = [\"/bin/true\"]\n"))

	top := append(table(t, document, "keys: a manifest", 0), action...)
	slices.Sort(top)
	top = slices.DeleteFunc(slices.Compact(top), func(key string) bool {
		return slices.Contains([]string{"command", "stdin", "for_each", "stops"}, key)
	})
	same(t, "a manifest", top, known(t, "modules.d/m.toml", "qqqqqqqqqqqq = 1\naction.a.command = [\"/bin/true\"]\n"))

	same(t, "a param", table(t, document, "keys: a param", 0), schema.Keywords())
	same(t, "a rule", table(t, document, "keys: a rule", 0),
		known(t, "allow.d/r.toml", "[[allow]]\nqqqqqqqqqqqq = 1\nactions = [\"*\"]\nusers = [\"root\"]\n"))

	_, formats, _ := strings.Cut(read(t, document), "<!-- formats -->\n")
	formats, _, _ = strings.Cut(formats, "\n\n")
	for _, f := range schema.Formats() {
		if !strings.Contains(formats, "`"+f+"`") {
			t.Errorf("the format %s is not documented", f)
		}
	}
}

func TestKeysOfDeputyToml(t *testing.T) {
	const document = "manifest.md"
	tables := map[string][]string{} // documented keys by table
	for _, word := range table(t, document, "keys: deputy.toml", 0) {
		name, _, _ := strings.Cut(word, ".")
		tables[name] = nil
	}
	_, text, _ := strings.Cut(read(t, document), "<!-- keys: deputy.toml -->\n")
	text, _, _ = strings.Cut(text, "\n\n")
	for _, line := range strings.Split(text, "\n")[2:] {
		columns := strings.Split(line, " | ")
		for name := range tables {
			if strings.Contains(columns[0], "`"+name+"`") || strings.Contains(columns[0], "`"+name+".NAME`") {
				tables[name] = append(tables[name], strings.Trim(columns[1], "`"))
			}
		}
	}
	var names []string
	for name, keys := range tables {
		names = append(names, name)
		header := "[" + name + "]\n"
		switch name {
		case "key":
			header = "[key.panel]\n"
		case "user":
			header = "[user.root]\n"
		case "queue":
			header = "[queue.apt]\n"
		}
		slices.Sort(keys)
		same(t, name, keys, known(t, "deputy.toml", header+"qqqqqqqqqqqq = 1\n"))
	}
	for name, keys := range tables { // the example shows every setting
		for _, key := range keys {
			if !regexp.MustCompile(`(?m)^#?` + key + ` = `).MatchString(read(t, "../packaging/deputy.toml")) {
				t.Errorf("packaging/deputy.toml does not show %s of [%s]", key, name)
			}
		}
	}
	slices.Sort(names)
	same(t, "deputy.toml", names, known(t, "deputy.toml", "qqqqqqqqqqqq = 1\n"))
}

// source gives every match of an expression's first group in a file of the
// project, sorted.
func source(t *testing.T, file, expression string) []string {
	t.Helper()
	var found []string
	for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(read(t, filepath.Join("..", file)), -1) {
		found = append(found, strings.Join(m[1:], " "))
	}
	if len(found) == 0 {
		t.Fatalf("nothing in %s is like %s", file, expression)
	}
	slices.Sort(found)
	return found
}

func TestCodes(t *testing.T) {
	same(t, "codes", table(t, "http.md", "codes", 0), source(t, "error.go", `Code += "([a-z_]+)"`))
}

// Every route is documented, and every documented one is there.
func TestRoutes(t *testing.T) {
	text := read(t, "http.md")
	_, text, _ = strings.Cut(text, "## Routes\n")
	text, _, _ = strings.Cut(text, "\n\nHEAD")
	var documented []string
	for _, line := range strings.Split(text, "\n") {
		m := regexp.MustCompile("^\\| `(GET|POST) (\\S+)`").FindStringSubmatch(line)
		if m == nil {
			continue
		}
		documented = append(documented, m[1]+" "+m[2])
		for _, also := range regexp.MustCompile("`(/[a-z0-9/{}]+)`").FindAllStringSubmatch(strings.Split(line, " | ")[0], -1) {
			path := also[1]
			if path == "/stderr" {
				path = "/v1/tasks/{id}/stderr"
			}
			documented = append(documented, m[1]+" "+path)
		}
	}
	slices.Sort(documented)
	served := append(source(t, "internal/server/httpapi/route.go", `method: "([A-Z]+)", path: "([^"]+)"`),
		source(t, "internal/request/route.go", `\t\t{Method: "([A-Z]+)", Path: "([^"]+)"`)...)
	slices.Sort(served)
	same(t, "routes", documented, slices.Compact(served))

	d := rig.Start(t, rig.Files{"modules.d/m.toml": "action.a.command = [\"/bin/true\"]\n"})
	for _, route := range documented {
		method, path, _ := strings.Cut(route, " ")
		if path == "/v1/events" { // it does not end
			continue
		}
		path = strings.NewReplacer("{module}", "m", "{action}", "a", "{id}", "none", "{name}", "none").Replace(path)
		answer := d.Self().Do(method, path, "")
		if answer.Status == http.StatusMethodNotAllowed || strings.Contains(string(answer.Body), "there is no such path") {
			t.Errorf("%s answers %d %s", route, answer.Status, answer.Body)
		}
	}
	// The last was an upgrade: the order to end is for the new programs.
	rig.Eventually(t, time.Minute, "the upgrade is over", func() bool { return len(d.Events(deputy.MonitorStart)) == 2 })
}

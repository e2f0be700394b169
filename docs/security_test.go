//go:build linux

package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"deputy/test/rig"
)

// tests gives every test of the project as PACKAGE.TEST, where PACKAGE is the
// last name of its folder.
func tests(t *testing.T) []string {
	t.Helper()
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	declaration := regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(`)
	var found []string
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declaration.FindAllSubmatch(text, -1) {
			found = append(found, filepath.Base(filepath.Dir(path))+"."+string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Each promise and each CVE of SECURITY.md names tests, and each of them is there.
func TestSecurityNamesTests(t *testing.T) {
	there, text := tests(t), read(t, "../SECURITY.md")
	name := regexp.MustCompile("`([a-z]+\\.Test[A-Z]\\w*)`")
	for _, m := range name.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(there, m[1]) {
			t.Errorf("there is no test %s", m[1])
		}
	}
	promises, cves := 0, []string{}
	for line := range strings.Lines(text) {
		promise := regexp.MustCompile(`^\| \d+ \|`).MatchString(line)
		cve := regexp.MustCompile(`^\| (CVE-\d{4}-\d{4,7}) \|`).FindStringSubmatch(line)
		if promise {
			promises++
		}
		if cve != nil {
			if slices.Contains(cves, cve[1]) {
				t.Errorf("%s stands twice", cve[1])
			}
			cves = append(cves, cve[1])
		}
		if (promise || cve != nil) && !name.MatchString(line) {
			t.Errorf("no test shows it: %s", line)
		}
	}
	if promises != 10 || len(cves) < 25 {
		t.Errorf("%d promises and %d CVEs", promises, len(cves))
	}
}

//go:build linux

package house_test

import (
	"os"
	"strings"
	"testing"
)

// Lines are counted as who reads code counts them: those with code on them. A comment, an
// empty line and one that only closes brackets say nothing that could be wrong.

// code says of each line of a file whether it counts; the first is number 1.
func code(t *testing.T, path string) []bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	counts := []bool{false}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		counts = append(counts, strings.Trim(line, "(){},") != "" && !strings.HasPrefix(line, "//"))
	}
	return counts
}

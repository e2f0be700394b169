package client_test

import (
	"go/build"
	"strings"
	"testing"
)

// Who uses this package inherits no dependency by it.
func TestImportsOnlyNounsAndStandardLibrary(t *testing.T) {
	for _, dir := range []string{".", ".."} {
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range pkg.Imports {
			first, _, _ := strings.Cut(path, "/")
			if strings.Contains(first, ".") || first == "deputy" && path != "deputy" && path != "deputy/internal/signature" {
				t.Errorf("%s imports %s", pkg.Name, path)
			}
		}
	}
}

//go:build linux

package house_test

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// lawFrom is from how many lines on a file needs its law; a shorter one says what it is by
// its declarations.
const lawFrom = 60

// Who opens a file reads first what always holds in it: before the first declaration
// stands a comment, that of the package or one of the file.
func TestAFileOpensWithItsLaw(t *testing.T) {
	for _, p := range list(t, "linux/amd64", rooms...) {
		files, err := filepath.Glob(filepath.Join(p.Dir, "*.go")) // for every system
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			set, file := parse(t, path)
			if set.File(file.Pos()).LineCount() > lawFrom && !opensWithLaw(file) {
				t.Errorf("%s/%s opens without its law: say in a comment above its first declaration, apart from that, what always holds in it", strings.TrimPrefix(p.ImportPath, "deputy/"), filepath.Base(path))
			}
		}
	}
}

// opensWithLaw says whether a comment of the package, or one that belongs to no
// declaration, stands before the first declaration after the imports.
func opensWithLaw(file *ast.File) bool {
	if file.Doc != nil {
		return true
	}
	for _, d := range file.Decls {
		var doc *ast.CommentGroup
		switch d := d.(type) {
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
			doc = d.Doc
		case *ast.FuncDecl:
			doc = d.Doc
		}
		for _, c := range file.Comments {
			if c.Pos() > file.Name.End() && c.End() < d.Pos() && c != doc && len(c.Text()) > 40 {
				return true
			}
		}
		return false
	}
	return true
}

//go:build linux

package house_test

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// The life of a task is one table, and only Happen goes from one of its phases to the
// next. Task.Phase is exported so that it can be read; whoever sets it passes the table
// by. Names are enough to find them: nothing else of the module is called Phase.
func TestOnlyHappenChangesAPhase(t *testing.T) {
	changes := 0
	for _, p := range list(t, "linux/amd64", "./...") {
		files, err := filepath.Glob(filepath.Join(p.Dir, "*.go")) // for every system
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			set, file := parse(t, path)
			for _, d := range file.Decls {
				for _, at := range phaseChanges(d) {
					if name := nameOf(d); p.ImportPath == monitorPath+"/state" && name == "(*Task).Happen" {
						changes++
					} else {
						t.Errorf("%s, in %s, sets a phase: let it happen instead, by a row of the table (state.Task.Happen)", set.Position(at), name)
					}
				}
			}
		}
	}
	if changes != 1 {
		t.Errorf("state.(*Task).Happen sets the phase at %d places: the one is what the table says", changes)
	}
}

// phaseChanges are the places at which a member Phase is assigned, counted up or pointed
// to. A literal makes a new value, and changes none: but a task is not made in another
// phase than the first.
func phaseChanges(in ast.Node) (at []token.Pos) {
	is := func(e ast.Expr) bool {
		s, ok := ast.Unparen(e).(*ast.SelectorExpr)
		return ok && s.Sel.Name == "Phase"
	}
	ast.Inspect(in, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if is(e) {
					at = append(at, e.Pos())
				}
			}
		case *ast.RangeStmt:
			if n.Key != nil && is(n.Key) || n.Value != nil && is(n.Value) {
				at = append(at, n.Pos())
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND && is(n.X) {
				at = append(at, n.Pos())
			}
		case *ast.KeyValueExpr:
			key, isKey := n.Key.(*ast.Ident)
			if value, ok := n.Value.(*ast.Ident); isKey && key.Name == "Phase" && !(ok && value.Name == "Queued") {
				at = append(at, n.Pos())
			}
		}
		return true
	})
	return at
}

// nameOf gives the name of a declared function, with its receiver as the go command
// writes it; of anything else nothing.
func nameOf(d ast.Decl) string {
	f, ok := d.(*ast.FuncDecl)
	if !ok {
		return ""
	}
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver, pointer := f.Recv.List[0].Type, false
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver, pointer = star.X, true
	}
	switch generic := receiver.(type) {
	case *ast.IndexExpr:
		receiver = generic.X
	case *ast.IndexListExpr:
		receiver = generic.X
	}
	if name := receiver.(*ast.Ident).Name; pointer {
		return "(*" + name + ")." + f.Name.Name
	} else {
		return name + "." + f.Name.Name
	}
}

//go:build linux

package house_test

import (
	"debug/elf"
	"fmt"
	"go/ast"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"deputy/test/rig"
)

// maxLinked is how many lines of deputy's functions deputyd may have on Linux: all that
// can run as root, whoever it listens to.
const maxLinked = 14000

// What the linker leaves out is not there to be misused. The symbol table names the
// functions that are in, and the lines of each are counted.
func TestFewLinesCanRunAsRoot(t *testing.T) {
	in := linked(t)
	sum, each := 0, map[string]int{}
	for _, p := range list(t, "linux/amd64", "-deps", "./cmd/deputyd") {
		if p.ImportPath != "deputy" && !strings.HasPrefix(p.ImportPath, "deputy/") {
			continue
		}
		path, inits := p.ImportPath, 0
		if path == "deputy/cmd/deputyd" {
			path = "main"
		}
		for _, name := range p.GoFiles {
			set, file := parse(t, filepath.Join(p.Dir, name))
			counts := code(t, filepath.Join(p.Dir, name))
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				symbol := path + "." + nameOf(f)
				if f.Name.Name == "init" && f.Recv == nil {
					symbol += fmt.Sprintf(".%d", inits)
					inits++
				}
				for n := set.Position(f.Pos()).Line; in[symbol] && n <= set.Position(f.End()).Line; n++ {
					if counts[n] {
						each[p.ImportPath]++
						sum++
					}
				}
			}
		}
	}
	t.Logf("%d of %d lines\n%s", sum, maxLinked, most(each))
	if sum < maxLinked/2 || sum > maxLinked {
		t.Errorf("%d lines of functions are linked into deputyd for Linux, at most %d are allowed (and if it is next to none, they are not found any more): let the server do it, or leave out what is seldom needed\n%s", sum, maxLinked, most(each))
	}
}

// linked gives the names of all functions of a deputyd for Linux, as its symbol table has
// them, without what they are instances of.
func linked(t *testing.T) map[string]bool {
	t.Helper()
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "deputyd")
	cmd := exec.Command("go", "build", "-o", program, "./cmd/deputyd")
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), target("linux/amd64")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build deputyd: %v\n%s", err, out)
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	names, instance := map[string]bool{}, regexp.MustCompile(`\[.*\]`)
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			names[instance.ReplaceAllString(s.Name, "")] = true
		}
	}
	return names
}

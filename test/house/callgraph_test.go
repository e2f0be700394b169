//go:build linux

package house_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deputy/test/rig"
)

// function is one that deputyd's main can reach, as tools/callgraph tells of it.
type function struct {
	Name, Package, File string
	First, Last         int // lines
	Calls               []int
}

// graph is all of them.
type graph struct {
	functions []function
	index     map[string]int // by name
}

// callGraph reads the call graph of deputyd for Linux. It takes some seconds.
func callGraph(t *testing.T) *graph {
	t.Helper()
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "./callgraph", "..", "./cmd/deputyd")
	cmd.Dir = filepath.Join(root, "tools")
	cmd.Env = append(cmd.Environ(), target("linux/amd64")...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot tell what deputyd's functions call: %v", err)
	}
	g := &graph{index: map[string]int{}}
	if err := json.Unmarshal(out, &g.functions); err != nil {
		t.Fatal(err)
	}
	for i, f := range g.functions {
		g.index[f.Name] = i
	}
	return g
}

// full gives a function's name in the graph: deputy's packages are written without
// their path's beginning, as (*monitor/loop.Loop).Run or wall.parse.
func full(name string) string {
	receiver, rest, method := strings.Cut(name, ")")
	if !method {
		return "deputy/internal/" + name
	}
	if pointed, ok := strings.CutPrefix(receiver, "(*"); ok {
		return "(*deputy/internal/" + pointed + ")" + rest
	}
	return "(deputy/internal/" + strings.TrimPrefix(receiver, "(") + ")" + rest
}

// reach gives what can be reached from functions, without what is called by those at
// which it stops: a function, or all of a package. A name that is not there fails the
// test: what was counted from it is counted no longer.
func (g *graph) reach(t *testing.T, from, stops []string) map[int]bool {
	t.Helper()
	stop := map[string]bool{}
	for _, s := range stops {
		stop[full(s)] = true
		if _, is := g.index[full(s)]; !is && !slices.ContainsFunc(g.functions, func(f function) bool { return f.Package == full(s) }) {
			t.Errorf("there is no function or package %s to stop at: name what has taken its place", s)
		}
	}
	reached := map[int]bool{}
	var next []int
	for _, name := range from {
		i, is := g.index[full(name)]
		if !is {
			t.Errorf("there is no function %s: name what has taken its place", name)
			continue
		}
		next = append(next, i)
	}
	for len(next) > 0 {
		i := next[len(next)-1]
		next = next[:len(next)-1]
		if f := g.functions[i]; !reached[i] && !stop[f.Name] && !stop[f.Package] {
			reached[i] = true
			next = append(next, f.Calls...)
		}
	}
	return reached
}

// lines counts the lines of deputy's functions among these, of each package. A function
// within another is counted with it.
func (g *graph) lines(t *testing.T, reached map[int]bool) (sum int, each map[string]int) {
	t.Helper()
	left, each := map[string][]bool{}, map[string]int{} // the lines of each file that are not counted yet
	for i := range reached {
		f := g.functions[i]
		if f.First == 0 || f.Package != "deputy" && !strings.HasPrefix(f.Package, "deputy/") {
			continue
		}
		if left[f.File] == nil {
			left[f.File] = code(t, f.File)
		}
		for n := f.First; n <= f.Last; n++ {
			if left[f.File][n] {
				left[f.File][n] = false
				each[f.Package]++
				sum++
			}
		}
	}
	return sum, each
}

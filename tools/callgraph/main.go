// Command callgraph prints as JSON what can call what in a program: of each function
// that main can reach the package, where it stands and whom it may call. A call through
// an interface or a value of a function type goes to each function that the types and
// values of the program let come there (variable type analysis). What only reflection
// calls is not seen. It is a program of the tools' module, so that deputy's own depends
// on nothing for it; test/house reads it.
//
//	go run ./callgraph .. ./cmd/deputyd
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"golang.org/x/tools/go/callgraph"
	"golang.org/x/tools/go/callgraph/rta"
	"golang.org/x/tools/go/callgraph/vta"
	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
)

// function is one of the program; what stands in another is that one's, not its own.
type function struct {
	Name    string // as (*deputy/internal/monitor/loop.Loop).Run
	Package string // its import path; empty: made by the compiler alone
	File    string
	First   int   // line
	Last    int   // line
	Calls   []int // indexes into the whole
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: callgraph DIR PACKAGE")
		os.Exit(2)
	}
	found, err := functions(os.Args[1], os.Args[2])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "callgraph:", err)
		os.Exit(1)
	}
}

func functions(dir, pkg string) ([]function, error) {
	loaded, err := packages.Load(&packages.Config{Mode: packages.LoadAllSyntax, Dir: dir}, pkg)
	if err != nil {
		return nil, err
	}
	if len(loaded) != 1 || packages.PrintErrors(loaded) > 0 {
		return nil, fmt.Errorf("cannot load %s", pkg)
	}
	program, made := ssautil.AllPackages(loaded, ssa.InstantiateGenerics)
	program.Build()
	reached := rta.Analyze([]*ssa.Function{made[0].Func("init"), made[0].Func("main")}, true)
	among := map[*ssa.Function]bool{}
	for f := range reached.Reachable {
		among[f] = true
	}
	graph := vta.CallGraph(among, reached.CallGraph)
	return describe(program, graph), nil
}

func describe(program *ssa.Program, graph *callgraph.Graph) []function {
	var nodes []*callgraph.Node
	for f, n := range graph.Nodes {
		if f != nil {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(a, b *callgraph.Node) int { return a.ID - b.ID })
	index := map[*ssa.Function]int{}
	for i, n := range nodes {
		index[n.Func] = i
	}
	passed := passes(graph)
	all := make([]function, len(nodes))
	for i, n := range nodes {
		all[i] = function{Name: n.Func.String(), Package: packageOf(n.Func)}
		if syntax := n.Func.Syntax(); syntax != nil {
			first, last := program.Fset.Position(syntax.Pos()), program.Fset.Position(syntax.End())
			all[i].File, all[i].First, all[i].Last = first.Filename, first.Line, last.Line
		}
		for f := range callees(n, passed[n.Func]) {
			if to, ok := index[f]; ok {
				all[i].Calls = append(all[i].Calls, to)
			}
		}
		slices.Sort(all[i].Calls)
	}
	return all
}

// callees are whom a function may call. What is passed to a function of the standard
// library, to be called by it, is called by who passes it: else bytes.Lines would seem
// to call the body of every loop over lines. So a value of a function type is followed
// from there, and not from the library; a method that the library calls through an
// interface is, but for what only prints a value. The body of a loop over an iterator
// is called by the function that it stands in.
func callees(n *callgraph.Node, passed map[*ssa.Function]bool) map[*ssa.Function]bool {
	found := map[*ssa.Function]bool{}
	for f := range passed {
		found[f] = true
	}
	for _, f := range n.Func.AnonFuncs {
		if isLoopBody(f) {
			found[f] = true
		}
	}
	library := !isOurs(n.Func) && packageOf(n.Func) != ""
	for _, out := range n.Out {
		to := out.Callee.Func
		invoked := out.Site != nil && out.Site.Common().IsInvoke()
		prints := invoked && (to.Name() == "Error" || to.Name() == "String")
		if prints || isLoopBody(to) || library && isOurs(to) && !invoked {
			continue
		}
		found[to] = true
	}
	return found
}

func isLoopBody(f *ssa.Function) bool { return f.Synthetic == "range-over-func yield" }

package main

import (
	"go/types"
	"strings"

	"golang.org/x/tools/go/callgraph"
	"golang.org/x/tools/go/ssa"
)

// packageOf gives the path of the package that a function is written in; an instance of a
// generic one has none of its own. It is empty for what the compiler alone makes.
func packageOf(f *ssa.Function) string {
	if origin := f.Origin(); origin != nil {
		f = origin
	}
	for f.Pkg == nil && f.Parent() != nil {
		f = f.Parent()
		if origin := f.Origin(); origin != nil {
			f = origin
		}
	}
	if f.Pkg == nil {
		return ""
	}
	return f.Pkg.Pkg.Path()
}

// isOurs says whether a function is deputy's, or a library's that deputy depends on.
func isOurs(f *ssa.Function) bool {
	p := packageOf(f)
	first, _, _ := strings.Cut(p, "/")
	return first == "deputy" || strings.Contains(first, ".")
}

// parameter is one of a function.
type parameter struct {
	of *ssa.Function
	at int
}

// passes gives, of each function of ours, the functions that it passes to the standard
// library, itself or through functions of ours that pass a parameter on.
func passes(graph *callgraph.Graph) map[*ssa.Function]map[*ssa.Function]bool {
	passed, through := map[*ssa.Function]map[*ssa.Function]bool{}, map[parameter]bool{}
	for more := true; more; {
		more = false
		for f, n := range graph.Nodes {
			if f == nil || !isOurs(f) {
				continue
			}
			for _, out := range n.Out {
				if out.Site != nil && pass(f, out, through, passed) {
					more = true
				}
			}
		}
	}
	return passed
}

// pass notes what one call passes. It says whether that was not known.
func pass(f *ssa.Function, call *callgraph.Edge, through map[parameter]bool, passed map[*ssa.Function]map[*ssa.Function]bool) (news bool) {
	common, to := call.Site.Common(), call.Callee.Func
	for i, arg := range common.Args {
		at := i
		if common.IsInvoke() {
			at++ // the receiver is no argument
		}
		if _, isFunc := arg.Type().Underlying().(*types.Signature); !isFunc || isOurs(to) && !through[parameter{to, at}] {
			continue
		}
		for {
			changed, ok := arg.(*ssa.ChangeType)
			if !ok {
				break
			}
			arg = changed.X
		}
		switch v := arg.(type) {
		case *ssa.Parameter:
			for k, p := range f.Params {
				if p == v && !through[parameter{f, k}] {
					through[parameter{f, k}], news = true, true
				}
			}
		case *ssa.MakeClosure:
			news = note(passed, f, v.Fn.(*ssa.Function)) || news
		case *ssa.Function:
			news = note(passed, f, v) || news
		}
	}
	return news
}

func note(passed map[*ssa.Function]map[*ssa.Function]bool, by, f *ssa.Function) (news bool) {
	if passed[by] == nil {
		passed[by] = map[*ssa.Function]bool{}
	}
	news = !passed[by][f]
	passed[by][f] = true
	return news
}

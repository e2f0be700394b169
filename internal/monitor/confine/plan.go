// Package confine shuts the server in before its first instruction: the monitor
// starts `deputyd --role confine`, which gives up what it could do, step by
// step, and then becomes deputy-server, in the same process.
//
//	core files, privilege   none; the bounding set empty, so no setuid program gives any back
//	user, groups            the server's own, and no other group
//	no_new_privs            no program gives privilege
//	Landlock                the files of the plan alone, the ports of the plan alone, no signal
//	                        and no abstract socket of processes outside
//	seccomp                 the calls of calls_linux.go alone
//
// The server itself gives up the last thing, to execute a program, before it
// reads anything (seccomp.Seal). Then Prove looks at it from outside. What one
// kernel lacks is left out, and Missing names it.
package confine

import (
	"errors"
	"flag"
	"io"
	"path/filepath"
	"strconv"
)

// Plan is what a server may.
type Plan struct {
	Program  string   // that it is; a static one
	UID, GID int      // whom it becomes; -1: it stays who it is
	Write    string   // a directory: what is in it, it may change
	Read     []string // files, and directories with all that is in them, each if it exists
	Ports    []int    // where it may listen, TCP
	Bare     bool     // it takes its identity, and is not confined beyond that
	More     []string // arguments of the program
}

// Args are the arguments by which Main gets the plan.
func (p Plan) Args() []string {
	args := []string{"--uid=" + strconv.Itoa(p.UID), "--gid=" + strconv.Itoa(p.GID), "--write=" + p.Write}
	for _, path := range p.Read {
		args = append(args, "--read="+path)
	}
	for _, port := range p.Ports {
		args = append(args, "--port="+strconv.Itoa(port))
	}
	if p.Bare {
		args = append(args, "--bare")
	}
	return append(append(args, p.Program), p.More...)
}

func parse(args []string) (Plan, error) {
	var p Plan
	f := flag.NewFlagSet("confine", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.String("role", "", "")
	f.IntVar(&p.UID, "uid", -1, "")
	f.IntVar(&p.GID, "gid", -1, "")
	f.StringVar(&p.Write, "write", "", "")
	f.BoolVar(&p.Bare, "bare", false, "")
	f.Func("read", "", func(path string) error { p.Read = append(p.Read, path); return nil })
	f.Func("port", "", func(text string) error {
		port, err := strconv.ParseUint(text, 10, 16)
		p.Ports = append(p.Ports, int(port))
		return err
	})
	if err := f.Parse(args); err != nil {
		return p, err
	}
	if p.Program = f.Arg(0); !filepath.IsAbs(p.Program) || p.Write == "" && !p.Bare {
		return p, errors.New("cannot confine a server without a plan: the monitor starts it")
	}
	p.More = f.Args()[1:]
	return p, nil
}

// Command deputyd is the privileged daemon: a keeper that keeps a monitor
// alive, and that monitor, which admits, starts, watches and stops tasks.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime"

	"deputy"
	"deputy/internal/logqueue"
	"deputy/internal/monitor"
	"deputy/internal/monitor/confine"
	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/look"
	"deputy/internal/monitor/manager"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/site"
	"deputy/internal/monitor/userdb"
)

const usage = `Usage:
  deputyd [--config DIR] [--state DIR]        the installed service: files under /etc/deputy
                                              and /var/lib/deputy, socket /run/deputy/deputy.sock
  deputyd --up --config DIR --state DIR       everything as the user who starts it, and nothing
                                              is left at the end: what "deputy up" runs

Options:
  --config DIR    deputy.toml, modules.d, allow.d and keys are in DIR
  --state DIR     journal, tasks and, with --config, the sockets are in DIR
  --socket PATH   where the Unix socket is, unless deputy.toml says it
  --server FILE   the deputy-server program; default: beside this one
  --no-cgroup     do as where there is no cgroup v2: a subreaper above each task
  --version       print the version

Signals:
  HUP    read the configuration again
  USR2   upgrade in place: execute the programs that now stand at their paths; tasks go on
  TERM   end; tasks live on for the next start (with --up they are stopped)
`

func main() {
	if len(os.Args) > 2 && os.Args[1] == "--role" { // what the monitor starts is clean
		switch os.Args[2] {
		case "confine":
			os.Exit(confine.Main(os.Args[1:]))
		case "forker":
			os.Exit(process.ForkerMain())
		case "names":
			os.Exit(userdb.Main())
		case "look":
			os.Exit(look.Main())
		}
	}
	// First of all: what started us may have left us ignored signals, open
	// descriptors or a umask, and no task may inherit them.
	if err := process.CleanSelf(); err != nil {
		fmt.Fprintln(os.Stderr, "deputyd:", err)
		os.Exit(1)
	}
	logqueue.SurvivePipes()
	os.Exit(run(os.Args[1:]))
}

type options struct {
	role, config, state, socket, server string
	up, noCgroup, version               bool
	format                              int // of the journal, for the role probe
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("deputyd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.role, "role", "keeper", "")
	flags.StringVar(&o.config, "config", "", "")
	flags.StringVar(&o.state, "state", "", "")
	flags.StringVar(&o.socket, "socket", "", "")
	flags.StringVar(&o.server, "server", "", "")
	flags.BoolVar(&o.up, "up", false, "")
	flags.BoolVar(&o.noCgroup, "no-cgroup", false, "")
	flags.IntVar(&o.format, "journal-format", 0, "")
	flags.BoolVar(&o.version, "version", false, "")
	systemFlags(flags)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case o.role == "reaper" || o.role == "holder":
		return o, nil
	case flags.NArg() > 0:
		return o, fmt.Errorf("cannot understand %q: no argument is expected", flags.Arg(0))
	case o.up && (o.config == "" || o.state == ""):
		return o, errors.New("cannot start: --up needs --config and --state; deputy up fills them in")
	case !o.up && (o.config == "") != (o.state == ""):
		return o, errors.New("cannot start: give --config and --state both, or neither")
	case !o.up && !privileged():
		return o, errors.New("cannot start: the installed service must run as " + privilegedUser + "; as an ordinary user use: deputy up")
	}
	return o, nil
}

func run(args []string) int {
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "deputyd: %v\nsee deputyd --help\n", err)
		return 2
	case o.version:
		fmt.Println("deputyd", deputy.Version)
		return 0
	}
	program, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "deputyd: cannot find its own program:", err)
		return 1
	}
	switch o.role {
	case "keeper":
		return keep(program, args, o)
	case "monitor":
		say := openLog(os.Stderr)
		defer say.Flush(logqueue.LastWords)
		return runMonitor(program, args, o, say)
	case "probe":
		return runProbe(program, o)
	case "reaper":
		return process.ReaperMain(args)
	case "holder":
		return hold(args)
	}
	fmt.Fprintf(os.Stderr, "deputyd: cannot take the role %q\n", o.role)
	return 2
}

// openLog opens the log of a role that nothing may hold up.
func openLog(f *os.File) *logqueue.Queue {
	return logqueue.New(f, func(w io.Writer, lost uint64) {
		newLogger(w).Printf("%d lines were lost: the log could not be written", lost)
	})
}

func newLogger(w io.Writer) *log.Logger { return log.New(w, "deputyd: ", log.LstdFlags|log.Lmsgprefix) }

func runMonitor(program string, args []string, o options, say *logqueue.Queue) int {
	m := monitor.New(monitor.Options{
		Paths: paths(program, o), Up: o.up, NoCgroup: o.noCgroup,
		Forker: []string{"/proc/self/exe", "--role", "forker"}, Reaper: []string{program, "--role", "reaper"}, Confiner: []string{"/proc/self/exe", "--role", "confine"},
		Log: newLogger(say), LogLost: say.Lost,
		Names:   []string{"/proc/self/exe", "--role", "names"},
		Looker:  []string{"/proc/self/exe", "--role", "look"},
		Probe:   append(append([]string{program}, args...), "--role", "probe"),
		Manager: manager.Find(os.Getppid()),
	})
	link, err := keeper.Connect(3, m.Exited)
	if err != nil {
		fmt.Fprintln(say, "deputyd: the monitor is started by the keeper:", err)
		return 1
	}
	err = m.Run(link, orders(link))
	if errors.Is(err, monitor.ErrUpgrade) {
		say.Flush(logqueue.LastWords)
		err = execute(link, append([]string{program}, args...))
	}
	if err != nil {
		fmt.Fprintln(say, "deputyd:", err)
		return 1
	}
	return 0
}

// runProbe is a new program that shows the monitor of an old one that it could
// take over from it.
func runProbe(program string, o options) int {
	if err := monitor.Prove(monitor.Options{Paths: paths(program, o), Up: o.up, Looker: []string{"/proc/self/exe", "--role", "look"}}, o.format); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(monitor.Proof())
	return 0
}

func paths(program string, o options) site.Paths {
	p := site.Installed()
	if o.config != "" {
		p = site.Under(absolute(o.config), absolute(o.state))
	}
	if o.socket != "" {
		p.Socket = absolute(o.socket)
	}
	if !o.up && runtime.GOOS == "linux" {
		p.Syslog = "/dev/log"
	}
	if p.ServerProg = o.server; p.ServerProg == "" {
		p.ServerProg = filepath.Join(filepath.Dir(program), "deputy-server"+exe)
	}
	return p
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

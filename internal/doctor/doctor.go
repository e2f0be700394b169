// Package doctor looks at a machine and at an installation of deputy for what
// deputy's promises rest on: what is missing, which promise that concerns, and
// what to do about it. It changes nothing; a file that it makes to try the disk
// has no name and is gone at once.
//
// The table of checks, checks(), says all that is looked at.
package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"deputy/client"
	"deputy/internal/monitor/look"
	"deputy/internal/monitor/manifest"
)

// Level is how a finding weighs.
type Level string

const (
	OK     Level = "ok"
	Unseen Level = "unseen" // it could not be looked at
	Weaker Level = "weaker" // a promise is kept less well than it could be
	Wrong  Level = "wrong"  // a promise is not kept, or nothing works
)

// Finding is one thing that was looked at.
type Finding struct {
	Area    string `json:"area"` // of the check, like "cgroup"
	Level   Level  `json:"level"`
	What    string `json:"what"`              // what was found, one sentence
	Follows string `json:"follows,omitempty"` // which promise it concerns, and how
	Remedy  string `json:"remedy,omitempty"`  // a command, or what to change
}

// Report is all that was found.
type Report struct {
	Level    Level     `json:"level"` // the gravest
	Findings []Finding `json:"findings"`
}

// Count counts the findings of a level.
func (r *Report) Count(l Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

// Machine is what is examined, and how.
type Machine struct {
	Installed bool // a root install; otherwise a `deputy up`
	Config    string
	Modules   []string // modules.d, the vendor's first
	State     string
	Socket    string     // where it listens unless deputy.toml says otherwise
	Programs  string     // directory of deputyd
	Owner     int        // whom the daemon runs as
	Look      *look.Pool // sees whether paths answer; nil: everything is looked at for as long as it takes
	Full      bool       // follow the whole journal, not its last segment alone

	Root  string // where /proc and /sys are, "" for /: a test lays out others
	Now   func() time.Time
	Ask   func(context.Context) (*client.Health, error)
	Query func(ctx context.Context, command ...string) (string, error) // runs a program of the system's

	health *client.Health // nil: the daemon does not answer
	down   error          // why not
	policy *manifest.Policy
}

// check is one line of the table.
type check struct {
	area    string
	concern string // which promise, in its words
	look    func(*Machine, context.Context) []Finding
	at      func(*Machine) []string // what it looks at there must answer; nil: only at the kernel's own
}

// The promises, as SECURITY.md has them.
const (
	durable  = "promise 1, what was answered 2xx was on the disk before the answer"
	exact    = "promise 3, an exit code is exact"
	nothing  = "promise 4, once a task has ended nothing of it lives"
	output   = "promise 6, output is an exact beginning and end, however much a task writes"
	recorded = "promise 7, nothing runs without a record, made before"
	proven   = "promise 8, every edit, cut or reorder of the journal is found"
	denied   = "promise 9, what is not known is denied; and only root's files decide what runs"
	signed   = "signed requests, which are good within 60 s of the clock"
	confined = "the wall: what parses bytes from outside has no privilege"
	serving  = "all of them: nothing can be asked for"
	many     = "many tasks at a time"
)

// Examine looks at everything in the order of the table.
func Examine(ctx context.Context, m *Machine) *Report {
	m.health, m.down = m.Ask(ctx)
	r := &Report{Level: OK}
	for _, c := range checks() {
		for _, f := range c.findings(m, ctx) {
			f.Area = c.area
			if f.Level != OK && f.Follows == "" {
				f.Follows = c.concern
			}
			if f.Level == OK {
				f.Follows, f.Remedy = "", ""
			}
			if weight(f.Level) > weight(r.Level) {
				r.Level = f.Level
			}
			r.Findings = append(r.Findings, f)
		}
	}
	return r
}

// findings waits for no file system: where one does not answer, that is found.
func (c *check) findings(m *Machine, ctx context.Context) []Finding {
	if c.at != nil {
		for _, path := range c.at(m) {
			if err := m.Look.Silent(path); err != nil {
				return []Finding{{Level: Wrong, What: err.Error(), Remedy: "see which file systems hang: findmnt"}}
			}
		}
	}
	return c.look(m, ctx)
}

// declared, programFiles and kept are what checks look at.
func (m *Machine) declared() []string {
	return append([]string{filepath.Join(m.Config, "deputy.toml"), filepath.Join(m.Config, "allow.d"), m.keys()}, m.Modules...)
}

func (m *Machine) programFiles() []string {
	return []string{filepath.Join(m.Programs, "deputyd"), filepath.Join(m.Programs, "deputy-server")}
}

func (m *Machine) kept() []string {
	return []string{filepath.Join(m.State, "installation.key"), filepath.Join(m.journal(), "lock"), m.tasks(), m.Socket}
}

func weight(l Level) int {
	return map[Level]int{OK: 0, Unseen: 1, Weaker: 2, Wrong: 3}[l]
}

func (m *Machine) journal() string { return filepath.Join(m.State, "journal") }
func (m *Machine) tasks() string   { return filepath.Join(m.State, "tasks") }
func (m *Machine) keys() string    { return filepath.Join(m.Config, "keys") }

// there gives a path, or of one that is yet to be made the folder above it that
// is there.
func there(path string) string {
	for path != filepath.Dir(path) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}

// start is the command that starts this deputy.
func (m *Machine) start() string {
	if m.Installed {
		return "systemctl start deputy"
	}
	return "deputy up"
}

// asRoot is the remedy of one who may not look.
const asRoot = "sudo deputy doctor"

func ok(what string) []Finding { return []Finding{{Level: OK, What: what}} }

func unseen(what, remedy string) []Finding {
	return []Finding{{Level: Unseen, What: what, Remedy: remedy}}
}

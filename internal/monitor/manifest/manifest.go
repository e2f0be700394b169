// Package manifest reads what an administrator declared: deputy.toml, the
// manifests in modules.d and the rules in allow.d. What it returns is complete
// and checked; whatever is wrong in the files is said with file:line:column,
// the line itself and the remedy.
package manifest

import (
	"fmt"
	"slices"
	"time"

	"deputy"
	"deputy/internal/monitor/manifest/schema"
	"deputy/internal/monitor/manifest/template"
	"deputy/internal/monitor/userdb"
)

// Pos is a place in a file, for messages. Line and Col count from 1, Col in
// bytes; a Line of 0 means the whole file.
type Pos struct {
	File      string
	Line, Col int
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Policy is everything that is in force at one time.
type Policy struct {
	Config  *Config
	Modules map[string]*Module
	Queues  map[string]*Queue   // by name, of all files
	Rules   []*Rule             // of allow.d, in the order of the files and lines
	Digest  string              // hex SHA-256 over the names and texts of Files
	Words   userdb.Words        // every user and group that it names, and who had the name
	Files   []deputy.PolicyFile // every file read, whole, in reading order
}

// Module is one manifest.
type Module struct {
	Name        string
	Description string
	Pos         Pos
	Digest      string // hex SHA-256 of the manifest's text
	Actions     map[string]*Action
}

// Action is one declared thing that may be asked for, with its module's
// defaults filled in.
type Action struct {
	Module, Name string
	Description  string
	Pos          Pos
	Digest       string                   // of what binds a task that waits for it
	Unusable     string                   // why this machine cannot do it, "reason; remedy": it alone is refused, all else is served; "" if it can
	Params       map[string]*schema.Param // those that this action uses
	Rules        []*Rule                  // its own [[action.NAME.allow]], otherwise its module's [allow]

	Stops   string            // the action of this module whose tasks it stops; then Command is nil
	Command *template.Command // program and arguments
	ForEach *ForEach          // nil: one task for each request
	Lock    *template.Text    // nil: every request is a task of its own
	OnBusy  OnBusy            // Join where nothing is declared

	Debounce *Debounce // nil: it begins as soon as it may

	Queue    string // whose place it needs to run; "": none
	Priority int    // in its queue, higher first

	// At a start user and groups are looked up anew, see policy.Now: what stands
	// here is how they were at the load.
	RunsAs    string   // whom the task runs as, as the user database is asked for it: a name, or "uid:N"
	User      *User    // never nil after a load, but for a stops action; its UID is userdb.NoID if nobody had that name
	Groups    []string // as written: names, numbers or "gid:N"; nil: the user's own groups
	GIDs      []uint32 // of Groups, each; userdb.NoID where nobody had that name
	Directory string   // "/" by default
	Shell     bool     // values and stdin may decide what runs
	Warnings  []string // of what may be more than was meant
	Env       map[string]*template.Text

	Stdin          *template.Text // nil: /dev/null
	StdinFile      *StdinFile
	Opened         []OpenedFile // by descriptor, from 3 on
	StderrToStdout bool
	SDNotify       bool // it speaks sd_notify(3), and finds its socket by that name, too
	StopSignal     int  // a signal number; SIGTERM by default
	Grace          time.Duration
	Linger         time.Duration // what outlives the first process has so long to end by itself
	Timeout        time.Duration // 0: none
	StartWithin    time.Duration // from its acceptance; 0: however late
	Stoppable      bool
	SuccessCodes   []int         // {0} by default
	OutputCap      int64         // bytes for each of stdout and stderr
	Keep           time.Duration // how long output is kept; 0: [storage] keep
	MaxBody        int64         // bytes
	Rate           Rate          // of one caller's requests; zero: only [defaults] per_caller.rate holds
}

// OnBusy says what happens when the lock is held by a live task.
type OnBusy string

const (
	Join   OnBusy = "join"
	Reject OnBusy = "reject"
	Rerun  OnBusy = "rerun"
	InLine OnBusy = "queue" // behind the lock, each a task of its own

	Replace OnBusy = "replace" // the holder is stopped, and whoever waits
)

// Debounce has a task begin once it was not asked for again for a while: Quiet after the
// last request that joined it, and Max after the first at the latest.
type Debounce struct{ Quiet, Max time.Duration }

// ForEach makes one task for each item of a list: "task_id in task_ids".
type ForEach struct{ Item, List string }

// StdinFile is a file that is opened for the task, beneath Under and with the
// rights of its user, following no links.
type StdinFile struct {
	Path  *template.Text
	Under string
}

// OpenedFile is a param with file = true that stands in the command. The file is
// opened as StdinFile is, and there {param} is the name of its descriptor.
type OpenedFile struct{ Param, Under string }

// User is a line of the user database.
type User = userdb.User

// Rule is a grant. A caller in any one of Users, Groups, Keys has it, if each
// of the other lines holds too.
type Rule struct {
	Pos     Pos
	Actions []string // "module/action", "module/*", "*"; in a manifest already prefixed with its module
	Users   []string // as written: names, numbers or "uid:N"
	Groups  []string // as written: names, numbers or "gid:N"
	Keys    []string

	UIDs, GIDs            []uint32 // of Users and Groups: those that are numbers
	UserNames, GroupNames []string // and those that are names: they stand for who has them at a decision

	SIDs      []string // on Windows: Users resolved
	GroupSIDs []string // on Windows: Groups resolved

	EndUsers []string         // nil: any or none
	Where    map[string][]any // param (or item of for_each) -> values, one of which it must have, and of a list each item; "{end_user}" and "{caller}" stand for these
	Stop     bool             // may also stop tasks of these actions that others started
	Read     bool             // may also see them
}

// Config is deputy.toml with every default filled in.
type Config struct {
	Listen  Listen
	Keys    map[string]CallerSettings // [key.NAME]
	Users   map[string]CallerSettings // [user.NAME], by name or "uid:N"
	SIDs    map[string]CallerSettings // the same on Windows
	Server  ServerSettings
	Default Defaults
	Storage Storage
	TLS     TLS
}

// Listen names the front doors as declared. Paths are absolute. HTTP and Line
// are to be opened only where at least one key exists.
type Listen struct {
	Unix  UnixListen
	HTTP  []string
	HTTPS []string
	Line  []string
}

// UnixListen is the Unix socket that HTTP is spoken on.
type UnixListen struct {
	Path  string
	Mode  uint32 // permission bits
	Group string // "" : unchanged
	GID   int    // -1: unchanged
}

// CallerSettings is what one caller may beyond its rules.
type CallerSettings struct {
	Legacy       bool // keys only
	NamesEndUser bool
	Auditor      bool
	Operator     bool
}

// ServerSettings is the [server] table.
type ServerSettings struct {
	User    *User // whom the server runs as; nil under `deputy up`
	Name    string
	Confine bool // it can reach only what it needs
}

// Shares says why a task must not have this user, or these groups instead of the
// user's own: it would be what the server is, which reads what the network sends;
// "" if it may. In a root install nobody else is that user or in that group.
func (s *ServerSettings) Shares(u *User, groups []uint32) string {
	if s.User == nil || s.User.SID != "" {
		return ""
	}
	if groups == nil {
		groups = u.Groups
	}
	switch {
	case u.UID == s.User.UID:
		return fmt.Sprintf("cannot run as user %q: the server runs as it, and could do what its tasks can", u.Name)
	case u.GID == s.User.GID || slices.Contains(groups, s.User.GID):
		return fmt.Sprintf("cannot run as user %q in the group of the server, %d: it reads the output of every task", u.Name, s.User.GID)
	}
	return ""
}

// Defaults is the [defaults] table: for every action that does not say otherwise.
type Defaults struct {
	Timeout     time.Duration
	StartWithin time.Duration // 0: however late
	Grace       time.Duration
	OutputCap   int64
	Live        int  // live tasks of one caller
	Rate        Rate // of one caller's requests
	Connections int  // open connections of one caller
}

// Rate is how often something may be asked for: Number times at once, and as
// many again spread over each Span. The zero Rate is no limit.
type Rate struct {
	Number int
	Span   time.Duration // a second, a minute or an hour
}

func (r Rate) String() string {
	return fmt.Sprintf("%d/%s", r.Number, map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Span])
}

// Storage is the [storage] table. MaxUse and KeepFree are a share of the file
// system when Percent is set, otherwise bytes.
type Storage struct {
	MaxUse, KeepFree Amount
	Keep             time.Duration
}

// Amount is bytes, or a percentage of the file system.
type Amount struct {
	Bytes   int64
	Percent float64 // 0: Bytes counts
}

// TLS is the [tls] table; paths are absolute.
type TLS struct{ Certificate, Key, ClientCA string }

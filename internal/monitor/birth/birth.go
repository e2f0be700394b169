// Package birth makes first processes of tasks. Whoever waits for a place waits in
// its caller's turn, and in a place of its action's: whatever a birth touches may
// never answer, and then holds up no other action and no other caller.
package birth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"deputy/internal/monitor/look"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
)

// preparations of births are made at the same time: one for each core of a small machine.
const preparations = 2

// Host is where processes are born: *process.Host.
type Host interface {
	Start(ctx context.Context, s process.Spec) (process.Attempt, error)
}

// Outputs are where they write: *output.Capper.
type Outputs interface {
	Start(dir string, gid int, oneFile bool, limit int64) (stdout, stderr *os.File, err error)
	Abandon(dir string) // takes back what Start has made
}

// Options are what births need.
type Options struct {
	Host      Host
	Outputs   Outputs
	Look      *look.Pool
	Secrets   func(task string) (map[string]any, error)
	Directory func(task string) string // where its output lies
	Scratch   string                   // a directory of ours, for what has no name
	ServerGID int                      // who else reads output
	Ending    func() bool              // nothing is born any more
}

// Births gives birth, to as many as there are places.
type Births struct {
	o         Options
	wards     *wards
	preparing *fairly
}

// New has nothing under way yet.
func New(o Options) *Births {
	return &Births{o: o, wards: newWards(), preparing: newFairly(preparations)}
}

// Birth is everything that one start needs. It is a copy: the task itself belongs
// to the loop.
type Birth struct {
	Action    *manifest.Action
	Task      string // id
	Leaf      string
	Params    map[string]any
	Secret    bool // it has sensitive values
	OneFile   bool
	OutputCap int64 // bytes
	Linger    time.Duration
	Context   policy.Context
	Account   string // whose turn it waits for
}

// ErrEnding leaves a birth to the next monitor: see deputy.MonitorEnd.
var ErrEnding = errors.New("deputy is ending")

// InTurn does what is not to delay others when it is that account's turn.
func (b *Births) InTurn(account string, do func()) {
	b.preparing.enter(context.Background(), account, nil)
	defer b.preparing.leave()
	do()
}

// Start gives birth. It is called by a goroutine of its own, and may take as long as
// what it touches takes to answer. Whatever it opens is closed again: the task has its
// own descriptors.
func (b *Births) Start(ctx context.Context, one Birth) (process.Attempt, error) {
	place, err := b.wards.enter(ctx, one.Action.Module+"/"+one.Action.Name, one.Account)
	if err != nil {
		return process.Attempt{}, err
	}
	if !b.preparing.enter(ctx, one.Account, nil) {
		place.leave()
		return process.Attempt{}, ctx.Err()
	}
	spec, err := process.Spec{}, ErrEnding
	if !b.o.Ending() {
		spec, err = b.prepare(&one)
	}
	b.preparing.leave()
	defer closeFiles(spec.Stdin, spec.Stdout, spec.Stderr)
	if err != nil {
		place.leave()
		return process.Attempt{}, err
	}
	spec.Gone = place.leave
	attempt, err := b.o.Host.Start(ctx, spec)
	if errors.Is(err, process.ErrNotExecuted) {
		place.late()
	}
	if err != nil && Scarce(err) { // it may be tried again, from the beginning
		b.drop(&one)
	}
	return attempt, err
}

// prepare finds out what is to be started and makes the files of its output. What it
// has opened is in the Spec, of a failure too.
func (b *Births) prepare(one *Birth) (spec process.Spec, err error) {
	var secrets map[string]any
	if one.Secret {
		if secrets, err = b.o.Secrets(one.Task); err != nil {
			return spec, err
		}
	}
	launch, err := policy.Launch(one.Action, one.Params, secrets, one.Context)
	if err != nil {
		return spec, err
	}
	if err := b.trust(one.Action); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("cannot start %s: %w; it was there when the policy was loaded", launch.Argv[0], process.ErrNotFound)
		}
		return spec, err
	}
	spec = process.Spec{Leaf: one.Leaf, Argv: launch.Argv, Env: launch.Env, Dir: launch.Dir, Credential: credential(one.Action),
		Linger: one.Linger}
	if err := b.stdin(launch, &spec); err != nil {
		return spec, err
	}
	if err := declaredFiles(&spec, launch.Files); err != nil {
		return spec, err
	}
	spec.Stdout, spec.Stderr, err = b.o.Outputs.Start(b.o.Directory(one.Task), b.o.ServerGID, one.OneFile, one.OutputCap)
	if err != nil {
		b.drop(one)
	}
	return spec, err
}

// drop takes back what prepare has made.
func (b *Births) drop(one *Birth) { b.o.Outputs.Abandon(b.o.Directory(one.Task)) }

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// stdin gives the task its input as a file that nobody else sees, or the declared file
// beneath the declared directory, or nothing for /dev/null.
func (b *Births) stdin(p *policy.Process, spec *process.Spec) error {
	if p.StdinFile != nil {
		return declaredInput(spec, *p.StdinFile)
	}
	if p.Stdin == nil {
		return nil
	}
	f, err := inputFile(b.o.Scratch, p.Stdin)
	if err != nil {
		return fmt.Errorf("cannot make the task's stdin: %w", err)
	}
	spec.Stdin = f
	return nil
}

// trust checks, before each start, that nobody but root (or the user of
// `deputy up`) can have changed the manifest or what the command runs. It waits
// for no file system that does not answer.
func (b *Births) trust(a *manifest.Action) error {
	trusted := manifest.Trust{UIDs: []uint32{uint32(os.Geteuid())}, Alike: true}
	eyes := b.o.Look.Open(a.Module + "/" + a.Name)
	if err := trusted.CheckBy(eyes, a.Pos.File); err != nil {
		return err
	}
	return trusted.CheckCode(a, eyes)
}

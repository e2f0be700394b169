package monitor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
)

// birth is everything that one start needs, apart from the loop's state.
type birth struct {
	m         *Monitor
	action    *manifest.Action
	id, leaf  string
	params    map[string]any
	secret    bool
	oneFile   bool
	outputCap int64
	linger    time.Duration
	context   policy.Context
	serverGID int
	account   string // whose turn it waits for
}

// errEnding leaves a birth to the next monitor: see MonitorEnd.
var errEnding = errors.New("deputy is ending")

// start is called by a goroutine of its own. Whatever it opens is closed again: the
// task has its own descriptors.
func (b *birth) start(ctx context.Context) (process.Attempt, error) {
	place, err := b.m.rooms.enter(ctx, b.action.Module+"/"+b.action.Name, b.account)
	if err != nil {
		return process.Attempt{}, err
	}
	if !b.m.preparing.enter(ctx, b.account, nil) {
		place.leave()
		return process.Attempt{}, ctx.Err()
	}
	spec, err := process.Spec{}, errEnding
	if !b.m.ending.Load() {
		spec, err = b.prepare()
	}
	b.m.preparing.leave()
	defer closeFiles(spec.Stdin, spec.Stdout, spec.Stderr)
	if err != nil {
		place.leave()
		return process.Attempt{}, err
	}
	spec.Gone = place.leave
	attempt, err := b.m.host.Start(ctx, spec)
	if errors.Is(err, process.ErrNotExecuted) {
		place.late()
	}
	if err != nil && scarce(err) { // it may be tried again, from the beginning
		b.drop()
	}
	return attempt, err
}

// prepare finds out what is to be started and makes the files of its output. What it has opened is in the
// Spec, of a failure too.
func (b *birth) prepare() (spec process.Spec, err error) {
	var secrets map[string]any
	if b.secret {
		if secrets, err = b.m.readSecrets(b.id); err != nil {
			return spec, err
		}
	}
	launch, err := policy.Launch(b.action, b.params, secrets, b.context)
	if err != nil {
		return spec, err
	}
	if err := b.m.trust(b.action); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("cannot start %s: %w; it was there when the policy was loaded", launch.Argv[0], process.ErrNotFound)
		}
		return spec, err
	}
	spec = process.Spec{Leaf: b.leaf, Argv: launch.Argv, Env: launch.Env, Dir: launch.Dir, Credential: b.credential(),
		Linger: b.linger}
	if err := b.stdin(launch, &spec); err != nil {
		return spec, err
	}
	if err := declaredFiles(&spec, launch.Files); err != nil {
		return spec, err
	}
	spec.Stdout, spec.Stderr, err = b.m.capper.Start(b.m.o.Paths.Task(b.id), b.serverGID, b.oneFile, b.outputCap)
	if err != nil {
		b.drop()
	}
	return spec, err
}

// drop takes back what prepare has made.
func (b *birth) drop() { b.m.capper.Abandon(b.m.o.Paths.Task(b.id)) }

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// stdin gives the task its input as a file that nobody else sees, or the declared file
// beneath the declared directory, or nothing for /dev/null.
func (b *birth) stdin(p *policy.Process, spec *process.Spec) error {
	if p.StdinFile != nil {
		return declaredInput(spec, *p.StdinFile)
	}
	if p.Stdin == nil {
		return nil
	}
	f, err := inputFile(b.m.o.Paths.State, p.Stdin)
	if err != nil {
		return fmt.Errorf("cannot make the task's stdin: %w", err)
	}
	spec.Stdin = f
	return nil
}

// trust checks, before each start, that nobody but root (or the user of
// `deputy up`) can have changed the manifest or what the command runs. It waits
// for no file system that does not answer.
func (m *Monitor) trust(a *manifest.Action) error {
	trusted := manifest.Trust{UIDs: []uint32{uint32(os.Geteuid())}, Alike: true}
	eyes := m.look.Open(a.Module + "/" + a.Name)
	if err := trusted.CheckBy(eyes, a.Pos.File); err != nil {
		return err
	}
	return trusted.CheckCode(a, eyes)
}

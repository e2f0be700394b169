package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
	"deputy/internal/output"
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
	context   policy.Context
	serverGID int
}

// start is called by a worker. Whatever it opens is closed again: the task has
// its own descriptors.
func (b *birth) start() (process.Attempt, error) {
	var secrets map[string]any
	if b.secret {
		var err error
		if secrets, err = b.m.readSecrets(b.id); err != nil {
			return process.Attempt{}, err
		}
	}
	launch, err := policy.Launch(b.action, b.params, secrets, b.context)
	if err != nil {
		return process.Attempt{}, err
	}
	if len(launch.Files) > 0 {
		return process.Attempt{}, errors.New("cannot start: files cannot be handed over opened yet")
	}
	if err := b.m.trust(b.action); err != nil {
		if _, gone := os.Stat(launch.Argv[0]); errors.Is(gone, os.ErrNotExist) {
			err = fmt.Errorf("cannot start %s: %w; it was there when the policy was loaded", launch.Argv[0], process.ErrNotFound)
		}
		return process.Attempt{}, err
	}
	stdin, err := b.stdin(launch)
	if err != nil {
		return process.Attempt{}, err
	}
	if stdin != nil {
		defer stdin.Close()
	}
	dir := b.m.o.Paths.task(b.id)
	stdout, stderr, err := output.Create(dir, b.uid(), b.serverGID, b.oneFile)
	if err != nil {
		return process.Attempt{}, err
	}
	defer stdout.Close()
	defer stderr.Close()
	if err := b.m.capper.Add(dir, b.outputCap); err != nil {
		return process.Attempt{}, err
	}
	attempt, err := b.m.host.Start(process.Spec{
		Leaf: b.leaf, Argv: launch.Argv, Env: launch.Env, Dir: launch.Dir,
		Credential: b.credential(), Stdin: stdin, Stdout: stdout, Stderr: stderr,
	})
	if err != nil && scarce(err) { // it may be tried again, from the beginning
		_, _, _ = b.m.capper.Finish(dir)
		os.Remove(filepath.Join(dir, output.Stdout))
		os.Remove(filepath.Join(dir, output.Stderr))
	}
	return attempt, err
}

// stdin gives the task its input as a file that nobody else sees, or the declared file
// beneath the declared directory, or nil for /dev/null.
func (b *birth) stdin(p *policy.Process) (*os.File, error) {
	if p.StdinFile != nil {
		return openBeneath(p.StdinFile.Under, p.StdinFile.Path)
	}
	if p.Stdin == nil {
		return nil, nil
	}
	f, err := inputFile(b.m.o.Paths.State, p.Stdin)
	if err != nil {
		return nil, fmt.Errorf("cannot make the task's stdin: %w", err)
	}
	return f, nil
}

// trust checks, before each start, that nobody but root (or the user of
// `deputy up`) can have changed the manifest or a file that the command names.
func (m *Monitor) trust(a *manifest.Action) error {
	trusted := manifest.Trust{UIDs: []uint32{uint32(os.Geteuid())}}
	return trusted.Check(append(a.Files(), a.Pos.File)...)
}

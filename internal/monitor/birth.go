package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

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
	stdout, stderr, err := output.Create(dir, int(b.uid()), b.serverGID, b.oneFile)
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

func (b *birth) uid() uint32 {
	if b.m.root() {
		return b.action.User.UID
	}
	return uint32(os.Geteuid())
}

// credential changes the user wherever deputyd may; as an ordinary user it is
// the same one anyway.
func (b *birth) credential() *process.Credential {
	if !b.m.root() {
		return nil
	}
	groups := b.action.GIDs
	if groups == nil {
		groups = b.action.User.Groups
	}
	return &process.Credential{UID: b.action.User.UID, GID: b.action.User.GID, Groups: groups}
}

func (m *Monitor) root() bool { return os.Geteuid() == 0 }

// stdin gives the task its input as a file in memory, or the declared file
// beneath the declared directory, or nil for /dev/null.
func (b *birth) stdin(p *policy.Process) (*os.File, error) {
	if p.StdinFile != "" {
		return openBeneath(b.action.StdinFile.Under, p.StdinFile)
	}
	if p.Stdin == nil {
		return nil, nil
	}
	// A memory file needs nobody to feed it, survives the monitor, and is
	// nowhere in the file system.
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("cannot make the task's stdin: %w", err)
	}
	f := os.NewFile(uintptr(fd), "stdin")
	_, err = f.Write(p.Stdin)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot make the task's stdin: %w", err)
	}
	return f, nil
}

// openBeneath opens path, which may be absolute, beneath the directory under,
// following no links (openat2(2), RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS).
func openBeneath(under, path string) (*os.File, error) {
	if filepath.IsAbs(path) {
		rel, err := filepath.Rel(under, path)
		if err != nil {
			return nil, fmt.Errorf("cannot open %s beneath %s: %w", path, under, err)
		}
		path = rel
	}
	dir, err := unix.Open(under, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", under, err)
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, path, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open %s beneath %s: %w", path, under, err)
	}
	f := os.NewFile(uintptr(fd), path)
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("cannot open %s beneath %s: it is not a regular file", path, under)
	}
	return f, unix.SetNonblock(fd, false)
}

// trust checks, before each start, that nobody but root (or the user of
// `deputy up`) can have changed the manifest or a file that the command names.
func (m *Monitor) trust(a *manifest.Action) error {
	trusted := manifest.Trust{UIDs: []uint32{uint32(os.Geteuid())}}
	return trusted.Check(append(a.Files(), a.Pos.File)...)
}

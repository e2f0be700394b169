package birth

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
)

// Nothing that belongs to a task's user is opened by root: the newborn opens it itself,
// with its user's rights, after it has become that user. What root makes for it lies in
// memory and has no name.

// inputFile makes a file to be read from its start. It lies in memory, not in
// the directory that is named.
func inputFile(_ string, content []byte) (*os.File, error) {
	// A memory file needs nobody to feed it, survives the monitor, and is
	// nowhere in the file system.
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "stdin")
	_, err = f.Write(content)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// declaredInput has the task's own process open a declared file, with the rights of
// its user: nothing that another may own is opened here.
func declaredInput(spec *process.Spec, f policy.File) (err error) {
	spec.Input, err = beneath(f)
	return err
}

// declaredFiles does the same for those that become descriptors 3, 4, …
func declaredFiles(spec *process.Spec, files []policy.File) error {
	for _, f := range files {
		file, err := beneath(f)
		if err != nil {
			return err
		}
		spec.Files = append(spec.Files, file)
	}
	return nil
}

// beneath gives the path, which may be absolute, as it stands beneath the directory.
func beneath(f policy.File) (process.File, error) {
	if !filepath.IsAbs(f.Path) {
		return process.File{Under: f.Under, Path: f.Path}, nil
	}
	rel, err := filepath.Rel(f.Under, f.Path)
	if err != nil {
		return process.File{}, fmt.Errorf("cannot open %s beneath %s: %w", f.Path, f.Under, err)
	}
	return process.File{Under: f.Under, Path: rel}, nil
}

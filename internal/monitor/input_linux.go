package monitor

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

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

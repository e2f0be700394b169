//go:build !linux

package birth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
)

// A declared file is opened here, by root, for the systems where a newborn cannot do it
// itself. No link is followed on the way, and what was looked at is what is opened; else
// the birth fails.

// inputFile makes a file to be read from its start. It lies in dir, which is
// closed to others, and goes with its last descriptor.
func inputFile(dir string, content []byte) (*os.File, error) {
	f, err := temporary(dir)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(content)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// declaredInput opens a declared file for the task.
func declaredInput(spec *process.Spec, f policy.File) (err error) {
	spec.Stdin, err = openBeneath(f.Under, f.Path)
	return err
}

// declaredFiles cannot hand over more than one file here.
func declaredFiles(_ *process.Spec, files []policy.File) error {
	if len(files) > 0 {
		return errors.New("cannot start: a param with file = true can be handed over on Linux alone; use stdin_file")
	}
	return nil
}

// openBeneath opens path, which may be absolute, beneath the directory under,
// following no links. Each name is looked at, then opened from the directory
// that holds it, and must then be what was looked at.
func openBeneath(under, path string) (*os.File, error) {
	if filepath.IsAbs(path) {
		rel, err := filepath.Rel(under, path)
		if err != nil {
			return nil, fmt.Errorf("cannot open %s beneath %s: %w", path, under, err)
		}
		path = rel
	}
	f, err := descend(under, strings.Split(filepath.ToSlash(filepath.Clean(path)), "/"))
	if err != nil {
		return nil, fmt.Errorf("cannot open %s beneath %s: %w", path, under, err)
	}
	return f, nil
}

func descend(under string, names []string) (*os.File, error) {
	dir, err := os.OpenRoot(under)
	if err != nil {
		return nil, err
	}
	defer func() { dir.Close() }()
	last := len(names) - 1
	for _, name := range names[:last] {
		seen, err := dir.Lstat(name)
		if err != nil {
			return nil, err
		}
		if !seen.IsDir() {
			return nil, fmt.Errorf("%s is not a directory; links are not followed", name)
		}
		next, err := dir.OpenRoot(name)
		if err != nil {
			return nil, err
		}
		dir.Close()
		dir = next
		if opened, err := dir.Stat("."); err != nil || !os.SameFile(seen, opened) {
			return nil, errors.Join(fmt.Errorf("%s was changed meanwhile", name), err)
		}
	}
	seen, err := dir.Lstat(names[last])
	if err != nil {
		return nil, err
	}
	if !seen.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := dir.OpenFile(names[last], os.O_RDONLY|openAtOnce, 0)
	if err != nil {
		return nil, err
	}
	if opened, err := f.Stat(); err != nil || !os.SameFile(seen, opened) {
		f.Close()
		return nil, errors.Join(errors.New("it was changed meanwhile"), err)
	}
	return f, nil
}

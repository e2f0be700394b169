// Package rootonly writes files where nobody can lead root astray: as root only
// below folders that root alone can change, through no link. Everybody else writes
// where they say.
package rootonly

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Folder is an open folder in which files are written. Whatever becomes of its path
// meanwhile, it is the one that was looked at.
type Folder struct {
	path string
	root *os.Root
}

// Open opens the folder at path. Those of its folders that are not there are made
// with this mode; with 0 all must be there.
func Open(path string, mode os.FileMode) (*Folder, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot find %s: %w", path, err)
	}
	if os.Geteuid() != 0 { // also on Windows, where it is -1
		if mode != 0 {
			if err := os.MkdirAll(whole, mode); err != nil {
				return nil, err
			}
		}
		root, err := os.OpenRoot(whole)
		if err != nil {
			return nil, err
		}
		return &Folder{whole, root}, nil
	}
	root, err := walk(plain(whole), mode)
	if err != nil {
		return nil, err
	}
	return &Folder{whole, root}, nil
}

// walk goes down from /, a name at a time, and looks at each folder once it is
// open: in one that root alone can change nobody puts another in its place.
func walk(path string, mode os.FileMode) (*os.Root, error) {
	at, err := os.OpenRoot("/")
	if err != nil {
		return nil, err
	}
	done := "/"
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if name == "" {
			continue
		}
		next, err := step(at, done, name, mode)
		at.Close()
		if err != nil {
			return nil, err
		}
		at, done = next, filepath.Join(done, name)
	}
	if err := sole(at, done, false); err != nil {
		at.Close()
		return nil, err
	}
	return at, nil
}

// step opens one folder of at, whose path is done.
func step(at *os.Root, done, name string, mode os.FileMode) (*os.Root, error) {
	if err := sole(at, done, true); err != nil {
		return nil, err
	}
	path := filepath.Join(done, name)
	before, err := at.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) && mode != 0 {
		if err := sole(at, done, false); err != nil {
			return nil, err
		}
		if err = at.Mkdir(name, mode); err == nil {
			before, err = at.Lstat(name)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case before.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("cannot write below %s as root: it is a link; name the folder that it leads to", path)
	case !before.IsDir():
		return nil, fmt.Errorf("cannot write below %s: it is no folder", path)
	}
	next, err := at.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	after, err := next.Stat(".")
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("cannot write below %s: another folder took its place", path)
	}
	if err != nil {
		next.Close()
		return nil, err
	}
	return next, nil
}

// sole says why root is not alone in a folder. In one with the sticky bit others
// may be, where only a folder of root's below it counts: they cannot replace that.
func sole(at *os.Root, path string, above bool) error {
	info, err := at.Stat(".")
	if err != nil {
		return err
	}
	remedy := "write elsewhere, or do it as that user"
	if uid := owner(info); uid > 0 {
		return fmt.Errorf("cannot write below %s as root: it belongs to uid %d, who could lead it elsewhere; %s", path, uid, remedy)
	}
	if info.Mode().Perm()&0o022 != 0 && (!above || info.Mode()&fs.ModeSticky == 0) {
		return fmt.Errorf("cannot write below %s as root: others may write there (mode %04o), and could lead it elsewhere; chmod go-w %s, or write elsewhere", path, info.Mode().Perm(), path)
	}
	return nil
}

// Path is where a name in the folder is.
func (f *Folder) Path(name string) string { return filepath.Join(f.path, name) }

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

// Read gives what a file holds. It is no link.
func (f *Folder) Read(name string) ([]byte, error) {
	info, err := f.root.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no plain file", f.Path(name))
	}
	return f.root.ReadFile(name)
}

// Replace puts a file in place whole: who reads it meanwhile sees the old one or
// the new one. A name with a leading dot is none that deputy reads.
func (f *Folder) Replace(name string, text []byte, mode os.FileMode) error {
	fresh := "." + name + "." + rand.Text()[:8] + ".new"
	file, err := f.root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, chmod(file, mode), file.Sync(), file.Close())
	if err == nil {
		err = f.root.Rename(fresh, name)
	}
	if err != nil {
		return errors.Join(err, f.root.Remove(fresh))
	}
	return nil
}

// Remove deletes a file.
func (f *Folder) Remove(name string) error { return f.root.Remove(name) }

// Write is Replace of a file by its path, whose folders are made with dirMode.
func Write(path string, text []byte, mode, dirMode os.FileMode) error {
	f, err := Open(filepath.Dir(path), dirMode)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Replace(filepath.Base(path), text, mode)
}

// Check says why root may not write below path, whose folders are made with this
// mode where they are not there.
func Check(path string, mode os.FileMode) error {
	f, err := Open(path, mode)
	if err != nil {
		return err
	}
	return f.Close()
}

// plain follows the links that macOS has at its root, which are root's.
func plain(path string) string {
	if runtime.GOOS != "darwin" {
		return path
	}
	for _, name := range []string{"/etc", "/tmp", "/var"} {
		if path == name || strings.HasPrefix(path, name+"/") {
			return "/private" + path
		}
	}
	return path
}

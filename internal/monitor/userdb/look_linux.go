package userdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// file is a file as it was when it was last read.
type file struct {
	path    string
	stamp   stamp
	settled bool // a change after the reading would show in the stamp
	text    []byte
}

// stamp tells one content of a file from another.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

const (
	maxFile    = 8 << 20         // bytes: of more users than that nobody is known
	settleTime = 2 * time.Second // two changes within one tick of the file system's clock have one stamp
)

// look reads the files again if they have changed, and says whether they have.
func (d *Database) look() bool {
	first := d.files == nil
	users, err := d.passwd.refresh()
	groups, bad := d.group.refresh()
	lent, wrong := d.subuid.refresh()
	if errors.Is(wrong, os.ErrNotExist) { // nobody may take other numbers
		wrong = nil
	}
	broken := ""
	if err = errors.Join(err, bad, wrong); err != nil {
		broken = err.Error()
	}
	if !first && !users && !groups && !lent && broken == d.files.broken {
		return false
	}
	d.files = parseFiles(d.passwd.text, d.group.text, d.subuid.text)
	d.files.broken = broken
	return true
}

// refresh has the file's text as it is now, and says whether that has changed.
// What cannot be read has none.
func (f *file) refresh() (changed bool, err error) {
	if f.path == "" {
		return false, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(f.path, &st); err != nil {
		return f.lose(fmt.Errorf("cannot look at %s: %w", f.path, err))
	}
	if f.settled && stampOf(&st) == f.stamp {
		return false, nil
	}
	text, read, err := readFile(f.path)
	if err != nil {
		return f.lose(fmt.Errorf("cannot read %s: %w", f.path, err))
	}
	changed = f.text == nil || !bytes.Equal(text, f.text)
	f.text, f.stamp = text, read
	since := time.Since(time.Unix(read.ctime.Unix()))
	f.settled = since > settleTime || since < -settleTime // of the future only after the clock was set back
	return changed, nil
}

func (f *file) lose(err error) (bool, error) {
	changed := f.text != nil
	f.text, f.settled, f.stamp = nil, false, stamp{}
	return changed, err
}

// readFile reads a file whole, and gives the stamp that it had before and after.
func readFile(path string) ([]byte, stamp, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, stamp{}, err
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	for range 3 {
		var before, after unix.Stat_t
		if err := unix.Fstat(fd, &before); err != nil {
			return nil, stamp{}, err
		}
		if before.Mode&unix.S_IFMT != unix.S_IFREG || before.Size > maxFile {
			return nil, stamp{}, fmt.Errorf("it is not a regular file of at most %d MiB", maxFile>>20)
		}
		text, err := io.ReadAll(io.NewSectionReader(file, 0, maxFile+1))
		if err != nil {
			return nil, stamp{}, err
		}
		if err := unix.Fstat(fd, &after); err != nil {
			return nil, stamp{}, err
		}
		if stampOf(&before) == stampOf(&after) && int64(len(text)) == after.Size {
			return text, stampOf(&after), nil
		}
	}
	return nil, stamp{}, errors.New("it is being written")
}

// lookUp and lookUpGroup are for systems whose database os/user alone knows.
func (d *Database) lookUp(string)      {}
func (d *Database) lookUpGroup(string) {}

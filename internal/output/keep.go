package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"deputy"
)

const (
	smallFile = 64 << 10  // bytes; what is not larger is kept without its lead
	largeFile = 1 << 20   // bytes on the disk; what is larger is kept beside the worker that ends tasks
	copyChunk = 256 << 10 // bytes
	newSuffix = ".new"
)

// finish takes the last look at one file, once nothing of the task lives, and
// says what is kept. That the cap or the closing failed is a warning; that the
// file cannot be seen is an error.
func (c *capped) finish(warn func(error)) (deputy.Output, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st, err := measure(c.path)
	if err != nil {
		return deputy.Output{}, fmt.Errorf("cannot see output: %w", err)
	}
	if c.untouched(st) {
		return deputy.Output{}, nil
	}
	file, st, err := openToRead(c.path)
	if err != nil {
		warn(fmt.Errorf("cannot close output: %w", err))
		c.size = max(st.size-c.base, 0)
		return c.result(), nil
	}
	if err := c.lookInto(file, st, lastStep); err != nil {
		warn(err)
		c.size = max(st.size-c.base, 0)
	}
	if file, err = c.keep(file, st); err != nil {
		warn(err)
	}
	defer file.Close()
	out := c.result()
	if err := digest(shifted{file, c.base}, &out); err != nil {
		warn(err)
	}
	return out, nil
}

// shifted reads a file by the offsets of the output that begins at base.
type shifted struct {
	file *os.File
	base int64
}

func (s shifted) ReadAt(p []byte, off int64) (int, error) { return s.file.ReadAt(p, s.base+off) }

// keep closes the file to writing. Nobody can open it for writing any more once
// its mode is changed. If somebody has it open still, or it has another name, or
// is not ours, a copy of it takes its place. So it is with small ones always:
// what is kept of them is a file of just what the task wrote.
//
// It gives the file that is kept, open; it may be the same.
func (c *capped) keep(file *os.File, st status) (*os.File, error) {
	var err error
	mode, small := os.FileMode(keptMode), false
	if c.base > 0 {
		mode, small = closedMode, st.size <= smallFile
	}
	if !small && st.mode != mode {
		err = chmod(file, mode)
	}
	if !small && err == nil && st.names == 1 && st.own && !writtenElsewhere(file) {
		return file, c.keepInPlace(file)
	}
	fresh, copyErr := c.copyKept(file, st.gid)
	if copyErr == nil {
		file.Close()
		c.base = 0
		return fresh, nil
	}
	// For want of room, most likely. A change of it can be told from its digest.
	return file, errors.Join(err, chmod(file, mode), fmt.Errorf("cannot close output: %w", copyErr))
}

// keepInPlace does what is left to do for a file that nobody can write to.
func (c *capped) keepInPlace(file *os.File) error {
	st, err := statusOf(file)
	if err != nil {
		return err
	}
	grown := st.size-c.base != c.size
	if grown {
		if err = c.lookInto(file, st, lastStep); err != nil {
			return err
		}
	}
	if !grown && c.spare(st, c.size) <= smallFile {
		return nil
	}
	cut, st, err := openToCut(c.path)
	if err != nil {
		return err
	}
	defer cut.Close()
	return cut.Truncate(st.size) // nothing but what is allocated behind the end
}

// copyKept puts a copy of what is kept in the place of the file, at the same
// offsets, with its holes, and gives it open. A copy that one who was killed left
// behind may be the very file that was replaced: it is never written to.
func (c *capped) copyKept(file *os.File, gid int) (*os.File, error) {
	path := c.path + newSuffix
	var fresh *os.File
	err := inGroup(gid, func() (err error) {
		for range 2 {
			if fresh, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, keptMode); !errors.Is(err, fs.ErrExist) {
				break
			}
			_ = os.Remove(path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = copyParts(fresh, shifted{file, c.base}, kept(c.result()))
	if err == nil {
		err = replace(path, c.path)
	}
	if err != nil {
		fresh.Close()
		_ = os.Remove(path)
		return nil, err
	}
	return fresh, nil
}

// copyParts writes parts of from at the same offsets. Blocks of zeros stay holes.
func copyParts(to *os.File, from shifted, parts [][2]int64) error {
	const block = 4096
	buf := make([]byte, min(max(length(parts), block), copyChunk))
	end, written := int64(0), int64(0)
	for _, p := range parts {
		for at := p[0]; at < p[1]; {
			n, err := from.ReadAt(buf[:min(int64(len(buf)), p[1]-at)], at)
			if n == 0 {
				return fmt.Errorf("it ends at byte %d: %w", at, err)
			}
			for i := 0; i < n; i += block {
				piece := buf[i:min(i+block, n)]
				if isZero(piece) {
					continue
				}
				if _, err := to.WriteAt(piece, at+int64(i)); err != nil {
					return err
				}
				written = at + int64(i+len(piece))
			}
			at += int64(n)
		}
		end = p[1]
	}
	if written < end {
		return to.Truncate(end)
	}
	return nil
}

func isZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

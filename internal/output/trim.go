package output

import "os"

const (
	trimSlack = 3 << 20 // bytes that may be allocated behind the end of a live file: file systems do so by themselves, too
	trimRoom  = 2 << 20 // bytes behind the end that are left to who writes meanwhile
	trimReach = 1 << 43 // bytes; ext4 knows no offset beyond twice that
)

// isOver says whether more blocks are allocated for the file than its bytes can
// take: a task can have some behind the end (fallocate(2), FALLOC_FL_KEEP_SIZE),
// where no gap takes them.
func (c *capped) isOver(st status, size int64) bool { return c.spare(st, size) > trimSlack }

// spare is how much is allocated beyond what is kept, in bytes.
func (c *capped) spare(st status, size int64) int64 {
	return st.allocated - (max(size, 0) - max(c.punched-c.note.from, 0))
}

// trim gives back what is allocated behind the end of a file that the task may be
// appending to. Where a hole does not (ext4) the file is cut where it ends; what
// is appended at that very moment goes, too, and as nobody can say whether
// anything was, it is told as rewritten. No program that only writes comes here.
func (c *capped) trim(file *os.File) error {
	st, err := statusOf(file)
	if err != nil {
		return err
	}
	far := st.size + trimRoom
	lost := false
	if punchHole(file, far, trimReach-far) == nil {
		if st, err = statusOf(file); err != nil {
			return err
		}
		lost = st.size > far
	}
	if c.isOver(st, st.size-c.base) {
		lost = true
		if err := file.Truncate(st.size); err != nil {
			return err
		}
	}
	if !lost || c.note.rewritten {
		return nil
	}
	c.note.rewritten = true
	return c.note.write(c.path)
}

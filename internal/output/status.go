package output

import "os"

// status is what is seen of a file without reading it.
type status struct {
	size      int64       // bytes, the lead among them
	block     int64       // bytes that can be given back at a time
	allocated int64       // bytes on the disk, those behind the end among them; -1: it is not known
	mode      os.FileMode // permissions, and the sticky bit
	names     int         // in folders
	own       bool        // it belongs to the user of this process
	gid       int
}

// The modes of a task's files. Others may write to a live one, and nothing else:
// only so can the task, of whatever user, open /dev/stderr anew. Nobody but root
// and the server reaches it by its name. What is kept after the end nobody may
// write to. A live file has a lead and a kept one has none, unless the sticky bit,
// which means nothing else for a file, says the opposite.
const (
	dirMode      = 0o750
	liveMode     = 0o642
	leadlessMode = liveMode | os.ModeSticky
	keptMode     = 0o640
	closedMode   = keptMode | os.ModeSticky
	writable     = 0o002
)

// hasLead says whether a lead stands before the output, unless it was cut.
func (st status) hasLead() bool {
	live, sticky := st.mode&writable != 0, st.mode&os.ModeSticky != 0
	return lead > 0 && live != sticky
}

// unknown is the origin of a file that is being made: nothing is in it.
const unknown = -1

// origin says where in its file an output begins, and whether the task cut the
// lead that was before it.
func (st status) origin(file *os.File) (base int64, cut bool) {
	switch {
	case st.size == 0: // its lead may be still to come; or it was cut, and there is nothing to read
		return unknown, false
	case !st.hasLead():
		return 0, false
	case st.mode&writable == 0 || leadReads(file, st):
		return lead, false
	}
	return 0, true
}

package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
)

const zombie = 5 // SZOMB of <sys/proc.h>

// Members of struct kinfo_proc of <sys/user.h>, by offset, on 64-bit machines.
// It begins with its own size.
const (
	kinfoPID   = 72
	kinfoStart = 336 // struct timeval
	kinfoState = 388
	kinfoComm  = 447
	commSize   = 20
)

// sessionOf lists what lives of a session, by sysctl(3) kern.proc.session.
func sessionOf(sid int) ([]member, error) {
	text, err := unix.SysctlRaw("kern.proc.session", sid)
	for errors.Is(err, unix.ENOMEM) { // it has grown since its size was asked for
		text, err = unix.SysctlRaw("kern.proc.session", sid)
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return nil, err
	}
	var list []member
	for len(text) >= kinfoComm+commSize {
		size := int(binary.LittleEndian.Uint32(text))
		if size < kinfoComm+commSize || size > len(text) {
			return nil, fmt.Errorf("cannot read kern.proc.session: a struct kinfo_proc of %d bytes", size)
		}
		if text[kinfoState] != zombie {
			started := time.Unix(int64(binary.LittleEndian.Uint64(text[kinfoStart:])), int64(binary.LittleEndian.Uint64(text[kinfoStart+8:]))*1000)
			list = append(list, member{
				pid:  int(binary.LittleEndian.Uint32(text[kinfoPID:])),
				comm: unix.ByteSliceToString(text[kinfoComm : kinfoComm+commSize]), state: stateName(text[kinfoState]), started: started,
			})
		}
		text = text[size:]
	}
	return list, nil
}

// foreignExit is exact: NOTE_EXIT carries the status, also to who is not the
// parent (kqueue(2)). A zero event came too late.
func foreignExit(event unix.Kevent_t) deputy.Exit {
	if event.Fflags&unix.NOTE_EXIT == 0 {
		return deputy.Exit{Unknown: "it ended while no monitor watched it"}
	}
	return exitOf(unix.WaitStatus(event.Data))
}

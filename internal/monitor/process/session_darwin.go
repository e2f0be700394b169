package process

import (
	"time"

	"golang.org/x/sys/unix"

	"deputy"
)

const zombie = 5 // SZOMB of <sys/proc.h>

// sessionOf lists what lives of a session, by sysctl(3) kern.proc.all.
func sessionOf(sid int) ([]member, error) {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, err
	}
	var list []member
	for i := range all {
		p := &all[i].Proc
		if p.P_stat == zombie {
			continue
		}
		if of, err := unix.Getsid(int(p.P_pid)); err == nil && of == sid {
			list = append(list, member{pid: int(p.P_pid), comm: unix.ByteSliceToString(p.P_comm[:]), state: stateName(byte(p.P_stat)), started: time.Unix(p.P_starttime.Unix())})
		}
	}
	return list, nil
}

// foreignExit is unknown: macOS tells the status of a process to its parent alone.
func foreignExit(unix.Kevent_t) deputy.Exit {
	return deputy.Exit{Unknown: "the monitor that started it had died, and macOS tells the status to no other"}
}

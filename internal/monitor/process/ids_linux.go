//go:build linux && !386

package process

import "golang.org/x/sys/unix"

// The calls that take users and groups of 32 bits.
const (
	sysSetgroups = unix.SYS_SETGROUPS
	sysSetresgid = unix.SYS_SETRESGID
	sysSetresuid = unix.SYS_SETRESUID
)

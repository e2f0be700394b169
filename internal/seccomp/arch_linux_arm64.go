package seccomp

import "golang.org/x/sys/unix"

// arch is what the kernel calls the numbers that this program makes calls by.
const arch = unix.AUDIT_ARCH_AARCH64

package confine

import "golang.org/x/sys/unix"

// older are calls that have another name, or are gone, elsewhere.
func older() []uintptr { return []uintptr{unix.SYS_NEWFSTATAT, unix.SYS_RISCV_HWPROBE} }

func olderOpens() []uintptr { return nil }

func olderHostile() []uintptr { return []uintptr{unix.SYS_KEXEC_FILE_LOAD} }

package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// olderDeeds are of calls that newer architectures never had.
func olderDeeds() map[string]func(arg string) error {
	return map[string]func(string) error{
		"open": func(arg string) error {
			mode, path := moded(arg)
			return byName(unix.SYS_OPEN, path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, uintptr(mode))
		},
		"creat": func(arg string) error {
			mode, path := moded(arg)
			return byName(unix.SYS_CREAT, path, uintptr(mode), 0)
		},
		"chmod": func(arg string) error {
			mode, path := moded(arg)
			return byName(unix.SYS_CHMOD, path, uintptr(mode), 0)
		},
		"mkdir": func(arg string) error {
			mode, path := moded(arg)
			_ = os.Remove(path) // that of the try before
			return byName(unix.SYS_MKDIR, path, uintptr(mode), 0)
		},
		"mknod": func(arg string) error {
			mode, path := moded(arg)
			_ = os.Remove(path)
			return byName(unix.SYS_MKNOD, path, unix.S_IFREG|uintptr(mode), 0)
		},
	}
}

func byName(trap uintptr, path string, a, b uintptr) error {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(trap, uintptr(unsafe.Pointer(name)), a, b); errno != 0 {
		return errno
	}
	return nil
}

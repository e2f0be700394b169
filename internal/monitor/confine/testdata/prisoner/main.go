//go:build linux

// Command prisoner tries what a server that was taken over would try: one thing
// for each start. It ends with 0 if that worked, and with 3 if it was refused.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"deputy/internal/seccomp"
)

func main() {
	deed, arg := os.Getenv("DEED"), os.Getenv("ARG")
	if os.Getenv("SEAL") != "" {
		if err := seccomp.Seal(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	do := deeds()[deed]
	if do == nil {
		do = olderDeeds()[deed]
	}
	if do == nil {
		fmt.Println("no such deed:", deed)
		os.Exit(1)
	}
	if err := do(arg); err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
}

func deeds() map[string]func(arg string) error {
	return map[string]func(string) error{
		"read":   func(path string) error { _, err := os.ReadFile(path); return err },
		"list":   func(path string) error { _, err := os.ReadDir(path); return err },
		"write":  func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) },
		"remove": os.Remove,
		"link":   func(path string) error { return os.Symlink("/etc/shadow", path) },
		"bind":   bind,
		// A mode and a path.
		"openat": func(arg string) error {
			mode, path := moded(arg)
			return made(unix.Openat(unix.AT_FDCWD, path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, mode))
		},
		"unnamed": func(arg string) error {
			mode, path := moded(arg)
			return made(unix.Open(path, unix.O_WRONLY|unix.O_TMPFILE, mode))
		},
		"openat2": func(arg string) error {
			mode, path := moded(arg)
			return made(unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_WRONLY | unix.O_CREAT, Mode: uint64(mode)}))
		},
		"fchmod": func(arg string) error {
			mode, path := moded(arg)
			fd, err := unix.Open(path, unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			return unix.Fchmod(fd, mode)
		},
		"fchmodat":  func(arg string) error { mode, path := moded(arg); return unix.Fchmodat(unix.AT_FDCWD, path, mode, 0) },
		"fchmodat2": fchmodat2,
		"mkdirat": func(arg string) error {
			mode, path := moded(arg)
			_ = os.Remove(path) // that of the try before
			return unix.Mkdirat(unix.AT_FDCWD, path, mode)
		},
		"mknodat": func(arg string) error {
			mode, path := moded(arg)
			_ = os.Remove(path)
			return unix.Mknodat(unix.AT_FDCWD, path, unix.S_IFREG|mode, 0)
		},
		"mptcp": func(string) error {
			return made(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP))
		},
		"udp":     func(string) error { return made(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)) },
		"unix":    func(string) error { return made(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) },
		"netlink": func(string) error { _, err := net.Interfaces(); return err },
		"connect": func(at string) error { return closed(net.Dial("tcp", at)) },
		"dial":    func(path string) error { return closed(net.Dial("unix", path)) },
		"exec":    func(path string) error { return syscall.Exec(path, []string{path}, nil) },
		"fork":    fork,
		"clone3":  func(string) error { return call(unix.SYS_CLONE3, 0, 0, 0) },
		"ptrace":  func(pid string) error { return unix.PtraceSeize(number(pid)) },
		"peek":    peek,
		"kill":    func(pid string) error { return unix.Kill(number(pid), 0) },
		"pidfd":   func(pid string) error { return made(unix.PidfdOpen(number(pid), 0)) },
		"setuid":  func(uid string) error { return call(unix.SYS_SETUID, uintptr(number(uid)), 0, 0) },
		"unshare": func(string) error { runtime.LockOSThread(); return unix.Unshare(unix.CLONE_NEWNS) },
		"mount":   func(path string) error { return unix.Mount("none", path, "tmpfs", 0, "") },
		"code": func(string) error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
			return err
		},
		"code later": func(string) error {
			page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				return err
			}
			return unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC)
		},
		"memfd":  func(string) error { return made(unix.MemfdCreate("m", 0)) },
		"keys":   func(string) error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err },
		"filter": func(string) error { return seccomp.Seal() },
		"limits": func(pid string) error {
			return unix.Prlimit(number(pid), unix.RLIMIT_CORE, nil, new(unix.Rlimit))
		},
		"work": work,
		"wait": func(string) error {
			fmt.Println("ready")
			_, err := io.Copy(io.Discard, os.Stdin)
			return err
		},
	}
}

// moded reads "MODE PATH".
func moded(arg string) (mode uint32, path string) {
	if _, err := fmt.Sscanf(arg, "%o %s", &mode, &path); err != nil {
		panic(err)
	}
	return mode, path
}

func fchmodat2(arg string) error {
	mode, path := moded(arg)
	return unix.Fchmodat(unix.AT_FDCWD, path, mode, unix.AT_SYMLINK_NOFOLLOW)
}

// work is what a server does all day: threads, memory, time, itself.
func work(dir string) error {
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			runtime.LockOSThread()
			_ = make([]byte, 8<<20)
			runtime.GC()
		})
	}
	all.Wait()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	r.Close()
	w.Close()
	return os.WriteFile(dir+"/work", nil, 0o600)
}

func bind(port string) error { return closed(net.Listen("tcp4", "127.0.0.1:"+port)) }

func fork(string) error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// peek reads another's memory.
func peek(pid string) error {
	var to, from byte
	local := []unix.Iovec{{Base: &to, Len: 1}}
	remote := []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&from)), Len: 1}}
	_, err := unix.ProcessVMReadv(number(pid), local, remote, 0)
	if err == unix.EFAULT { // allowed; nothing is there
		return nil
	}
	return err
}

func call(trap, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(trap, a, b, c); errno != 0 && errno != unix.EINVAL {
		return errno
	}
	return nil
}

func made(_ int, err error) error { return err }

func closed(c io.Closer, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

//go:build linux

package main

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is forked here has a copy of our memory and no Go runtime: it may only
// make raw system calls.

var actionDefault [8]uint64 // a struct sigaction of zeros

//go:nosplit
func defaultAction(sig uintptr) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&actionDefault)), 0, 8, 0, 0)
}

//go:nosplit
func rawFork() uintptr {
	pid, _, _ := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	return pid
}

// forkTwice makes a process in a session of its own, whose parent is gone.
//
//go:nosplit
func forkTwice(stop bool) {
	if pid := rawFork(); pid != 0 {
		syscall.RawSyscall6(syscall.SYS_WAIT4, pid, 0, 0, 0, 0, 0)
		return
	}
	syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
	if rawFork() != 0 {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
	if stop {
		self, _, _ := syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
		syscall.RawSyscall(syscall.SYS_KILL, self, uintptr(syscall.SIGSTOP), 0)
	}
	for {
		syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// forkRunner makes a process that forks the next and exits, for ever: no list
// of pids stays true.
//
//go:nosplit
func forkRunner() {
	if rawFork() != 0 {
		return
	}
	syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
	for {
		if rawFork() != 0 {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
}

// odd makes this process odd, and then becomes the command.
func odd(argv []string) {
	runtime.LockOSThread()
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGTSTP, unix.SIGUSR2, unix.SIGPIPE, unix.SIGCHLD)
	unix.Umask(0o077)
	for _, resource := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_NPROC, unix.RLIMIT_FSIZE} {
		var limit syscall.Rlimit
		check(syscall.Getrlimit(resource, &limit))
		limit.Cur = min(limit.Max, 1<<30) - 333
		check(syscall.Setrlimit(resource, &limit))
	}
	for fd := 10; fd < 20; fd++ {
		check(unix.Dup3(0, fd, 0))
	}
	check(os.Chdir("/tmp"))
	if os.Geteuid() == 0 { // who has no privilege cannot undo this
		check(unix.Setpriority(unix.PRIO_PROCESS, 0, 3))
	}
	var first unix.CPUSet
	check(unix.SchedGetaffinity(0, &first))
	for cpu := range len(first) * 64 {
		if first.IsSet(cpu) {
			first.Zero()
			first.Set(cpu)
			break
		}
	}
	check(unix.SchedSetaffinity(0, &first))
	check(os.WriteFile("/proc/self/oom_score_adj", []byte("200"), 0))
	for name, value := range map[string]string{"LD_PRELOAD": "/nonexistent/odd.so", "ODD": "1", "BASH_ENV": "/nonexistent", "TZ": "odd", "PYTHONPATH": "/tmp"} {
		check(os.Setenv(name, value))
	}
	blocked := ^uint64(0) // what a program cannot block the kernel leaves out
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&blocked)), 0, 8, 0, 0)
	check(syscall.Exec(argv[0], argv, os.Environ()))
}

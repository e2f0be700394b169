// Package seccomp assembles filters of system calls and puts them in force; see
// seccomp(2). A filter stays for good, and holds for all that a process starts.
package seccomp

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Action is what becomes of a call.
type Action uint32

const (
	Allow Action = unix.SECCOMP_RET_ALLOW
	Kill  Action = unix.SECCOMP_RET_KILL_PROCESS                // the process ends by SIGSYS
	Lacks Action = unix.SECCOMP_RET_ERRNO | Action(unix.ENOSYS) // as in a kernel that lacks it
)

// Rule says what becomes of some calls. Where several rules name a call, the
// first whose arguments match counts.
type Rule struct {
	Calls []uintptr // numbers: unix.SYS_…
	Args  []Arg     // each must match; nil: whatever they are
	Do    Action
}

// Arg matches a call whose argument Index, counted from 0, is Value in the bits
// of Mask.
type Arg struct {
	Index       int
	Mask, Value uint64
}

// Whole is a Mask of all bits.
const Whole = ^uint64(0)

// Where struct seccomp_data has what; all is little-endian where there is a
// filter at all.
const (
	atNumber = 0
	atArch   = 4
	atArgs   = 16 // 8 bytes each
)

// Assemble makes the program of a filter. What no rule decides is otherwise; a
// call by another architecture's numbers ends the process.
//
// Each call is a block of its own, so no jump is longer than one. From Linux
// 5.11 on the kernel remembers which calls are allowed whatever their arguments,
// and runs no filter for them, so a tree would win nothing.
func Assemble(rules []Rule, otherwise Action) ([]unix.SockFilter, error) {
	p := []unix.SockFilter{
		load(atArch), equal(arch, 1, 0), result(Kill),
		load(atNumber),
	}
	for _, r := range rules {
		body := r.body()
		for _, call := range r.Calls {
			p = append(p, equal(uint32(call), 0, uint8(len(body))))
			p = append(p, body...)
		}
	}
	if p = append(p, result(otherwise)); len(p) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("cannot filter system calls: %d instructions, at most %d", len(p), unix.BPF_MAXINSNS)
	}
	return p, nil
}

// body decides about a call whose number is known. Where an argument does not
// match it falls through to what follows, with the number loaded again.
func (r Rule) body() []unix.SockFilter {
	var tests []unix.SockFilter
	for _, a := range r.Args {
		for half := range 2 {
			mask, value := uint32(a.Mask>>(32*half)), uint32(a.Value>>(32*half))
			if mask == 0 {
				continue
			}
			tests = append(tests, load(uint32(atArgs+8*a.Index+4*half)), and(mask), equal(value, 0, 0))
		}
	}
	if tests == nil {
		return []unix.SockFilter{result(r.Do)}
	}
	for i := 2; i < len(tests); i += 3 {
		tests[i].Jf = uint8(len(tests) - i) // over the result, to the load
	}
	return append(tests, result(r.Do), load(atNumber))
}

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

func and(mask uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask}
}

// equal jumps over as many instructions as are given.
func equal(k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

func result(a Action) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(a)}
}

// Threads says for whom a filter is.
type Threads uintptr

const (
	ThisThread Threads = 0
	AllThreads Threads = unix.SECCOMP_FILTER_FLAG_TSYNC
)

// Install puts a filter in force. Without CAP_SYS_ADMIN the kernel wants
// PR_SET_NO_NEW_PRIVS set before.
func Install(program []unix.SockFilter, who Threads) error {
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	thread, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(who), uintptr(unsafe.Pointer(&f)))
	runtime.KeepAlive(program)
	switch {
	case errno != 0:
		return fmt.Errorf("cannot filter system calls: %w", errno)
	case thread != 0: // TSYNC's own way to fail
		return fmt.Errorf("cannot filter system calls: thread %d has a filter of its own", thread)
	}
	return nil
}

// Available says whether this kernel, and this architecture, can filter.
func Available() bool {
	kill := uint32(Kill)
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&kill)))
	return arch != 0 && errno == 0
}

// Seal ends this process should it ever execute a program, or ask for another
// filter. One that nothing confines is not sealed either.
func Seal() error {
	if confined, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || confined == 0 {
		return errors.New("cannot seal this process: it is not confined")
	}
	if arch == 0 {
		return fmt.Errorf("cannot filter system calls: this is not known for %s", runtime.GOARCH)
	}
	p, err := Assemble([]Rule{{Calls: []uintptr{unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_SECCOMP}, Do: Kill}}, Allow)
	if err != nil {
		return err
	}
	return Install(p, AllThreads)
}

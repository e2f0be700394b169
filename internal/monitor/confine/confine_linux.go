package confine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"deputy/internal/logqueue"
	"deputy/internal/seccomp"
)

// Main is the whole program of `deputyd --role confine`. It returns only if it
// cannot become the server.
func Main(args []string) int {
	p, err := parse(args)
	if err == nil {
		err = become(p)
	}
	logqueue.SurvivePipes()
	say := logqueue.New(os.Stderr, func(io.Writer, uint64) {}) // two lines: there is room
	defer say.Flush(logqueue.LastWords)
	fmt.Fprintln(say, "deputyd: cannot confine the server:", err)
	fmt.Fprintln(say, "deputyd: until that is mended it can be started unconfined: [server] confine = false in deputy.toml")
	return 1
}

// become works on one thread: the one that executes is the one that is left.
func become(p Plan) error {
	runtime.LockOSThread()
	argv := append([]string{filepath.Base(p.Program)}, p.More...)
	if p.Bare {
		if err := takeUser(p.UID, p.GID); err != nil {
			return err
		}
		return fmt.Errorf("cannot start %s: %w", p.Program, syscall.Exec(p.Program, argv, os.Environ()))
	}
	if err := checkStatic(p.Program); err != nil {
		return err
	}
	files, err := newRuleset(p) // as who we are now: some folders on the way the server cannot enter
	if err != nil {
		return err
	}
	if err := syscall.Setrlimit(unix.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("cannot forbid core files: %w", err)
	}
	if err := takeIdentity(p.UID, p.GID); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot set no_new_privs: %w", err)
	}
	if err := files.enforce(); err != nil {
		return err
	}
	if seccomp.Available() {
		filter, err := seccomp.Assemble(rules(os.Getpid(), len(p.Ports) > 0), seccomp.Lacks)
		if err != nil {
			return err
		}
		if err := seccomp.Install(filter, seccomp.ThisThread); err != nil {
			return err
		}
	}
	err = syscall.Exec(p.Program, argv, os.Environ())
	return fmt.Errorf("cannot start %s: %w", p.Program, err)
}

// takeIdentity becomes the server's user, if there is one, without any group
// beside its own, and gives up every capability.
func takeIdentity(uid, gid int) error {
	if canEmptyBounds() {
		for c := uintptr(0); ; c++ {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); errors.Is(err, unix.EINVAL) {
				break // the last is behind us
			} else if err != nil {
				return fmt.Errorf("cannot empty the bounding set: %w", err)
			}
		}
	}
	if err := takeUser(uid, gid); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot give up capabilities: %w", err)
	}
	var none [2]unix.CapUserData
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return fmt.Errorf("cannot give up capabilities: %w", err)
	}
	return nil
}

// takeUser becomes the server's user, if there is one.
func takeUser(uid, gid int) error {
	if uid < 0 {
		return nil
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("cannot leave root's groups: %w", err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("cannot become group %d: %w", gid, err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("cannot become user %d: %w", uid, err)
	}
	return nil
}

// canEmptyBounds says whether we have what that takes: root has it, but in some
// containers.
func canEmptyBounds() bool {
	var sets [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0])
	return err == nil && sets[0].Effective&(1<<unix.CAP_SETPCAP) != 0
}

// checkStatic refuses a program that needs an interpreter, which would open and
// map libraries; see elf(5). Where there is a filter, programs are 64-bit and
// little-endian.
func checkStatic(path string) error {
	const interpreter = 3 // PT_INTERP
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 4096) // linkers place the program headers behind the ELF header
	n, err := f.Read(head)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	if head = head[:n]; n < 64 || string(head[:5]) != "\x7fELF\x02" {
		return nil // the kernel knows what to say of it
	}
	at, size, number := binary.LittleEndian.Uint64(head[32:]), binary.LittleEndian.Uint16(head[54:]), binary.LittleEndian.Uint16(head[56:])
	for range number {
		if at+4 <= uint64(n) && binary.LittleEndian.Uint32(head[at:]) == interpreter {
			return fmt.Errorf("%s needs libraries; build it with CGO_ENABLED=0", path)
		}
		at += uint64(size)
	}
	return nil
}

// Possible says whether a server can be confined on this system.
func Possible() bool { return true }

// Missing names what this kernel has not got, for a sentence; "" if nothing.
func Missing() string {
	var missing []string
	if landlockVersion() == 0 {
		missing = append(missing, "Landlock")
	}
	if !seccomp.Available() {
		missing = append(missing, "seccomp")
	}
	return strings.Join(missing, " and ")
}

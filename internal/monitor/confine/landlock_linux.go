package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights of Landlock, see landlock(7).
const (
	mayRead    = unix.LANDLOCK_ACCESS_FS_READ_FILE
	mayExecute = mayRead | unix.LANDLOCK_ACCESS_FS_EXECUTE // to execute is to read, too
	mayChange  = mayRead | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR
)

// system is what the runtime of Go reads, and in /proc the search for the task
// that a progress comes from. What takes ptrace to see there, as another's
// environ, mem and fd, Landlock shows of no process outside.
func system() []string {
	return []string{"/proc", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage", "/etc/localtime", "/usr/share/zoneinfo"}
}

// landlockVersion is that of the kernel's Landlock ABI; 0: it has none.
func landlockVersion() int {
	version, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// handled is all that a version can refuse.
func handled(version int) unix.LandlockRulesetAttr {
	all := unix.LandlockRulesetAttr{Handled_access_fs: 2*unix.LANDLOCK_ACCESS_FS_MAKE_SYM - 1} // the last right of version 1, and those before
	for _, since := range []struct {
		version int
		to      *uint64
		rights  uint64
	}{
		{2, &all.Handled_access_fs, unix.LANDLOCK_ACCESS_FS_REFER},
		{3, &all.Handled_access_fs, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
		{4, &all.Handled_access_net, unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP},
		{5, &all.Handled_access_fs, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
		{6, &all.Scoped, unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL},
	} {
		if version >= since.version {
			*since.to |= since.rights
		}
	}
	return all
}

// ruleset is of the kernel; nil where that has no Landlock.
type ruleset struct {
	fd int
	of unix.LandlockRulesetAttr
}

// newRuleset refuses what the kernel can refuse, but what is in the plan.
func newRuleset(p Plan) (*ruleset, error) {
	version := landlockVersion()
	if version == 0 {
		return nil, nil
	}
	r := &ruleset{of: handled(version)}
	fd, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&r.of)), unsafe.Sizeof(r.of), 0)
	if errno != 0 {
		return nil, fmt.Errorf("cannot make a Landlock ruleset: %w", errno)
	}
	r.fd = int(fd)
	unix.CloseOnExec(r.fd)
	if err := r.allow(p.Program, mayExecute); err != nil {
		return nil, err
	}
	if err := r.allow(p.Write, mayChange); err != nil {
		return nil, err
	}
	for _, path := range append(system(), p.Read...) {
		if err := r.allow(path, mayRead); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for _, port := range p.Ports {
		if err := r.allowPort(port); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// allow gives rights to a file, or to all that is in a directory.
func (r *ruleset) allow(path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot allow %s: %w", path, err)
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights & r.of.Handled_access_fs, Parent_fd: int32(fd)}
	return r.add(unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&rule), path)
}

// allowPort lets the server listen on a TCP port.
func (r *ruleset) allowPort(port int) error {
	if r.of.Handled_access_net == 0 {
		return nil
	}
	const ofPort = 2                                                                        // LANDLOCK_RULE_NET_PORT
	rule := struct{ allowed, port uint64 }{unix.LANDLOCK_ACCESS_NET_BIND_TCP, uint64(port)} // struct landlock_net_port_attr
	return r.add(ofPort, unsafe.Pointer(&rule), fmt.Sprintf("port %d", port))
}

func (r *ruleset) add(kind uintptr, rule unsafe.Pointer, what string) error {
	if _, _, errno := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), kind, uintptr(rule), 0, 0, 0); errno != 0 {
		return fmt.Errorf("cannot allow %s: %w", what, errno)
	}
	return nil
}

// enforce puts it in force for this thread, and what that becomes.
func (r *ruleset) enforce() error {
	if r == nil {
		return nil
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(r.fd), 0, 0); errno != 0 {
		return fmt.Errorf("cannot put the Landlock ruleset in force: %w", errno)
	}
	return nil
}

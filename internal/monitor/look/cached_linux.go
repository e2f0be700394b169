package look

import "golang.org/x/sys/unix"

// resolveCached has openat2 fail with EAGAIN where it would have to ask a file
// system (openat2(2), since Linux 5.12).
const resolveCached = 0x20

// cached looks at one name as far as the kernel has it in memory, and fails with
// EAGAIN where it has not. Neither call asks the file system: the descriptor is
// opened as a mere place (O_PATH), and its attributes are taken as they are known.
// Where a link leads is not read, for that could ask: it is known by what it is.
func (p *Pool) cached(path string) (Step, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: resolveCached})
	switch err {
	case nil:
	case unix.ENOSYS, unix.EINVAL, unix.EPERM, unix.E2BIG: // an older kernel, or a filter that does not know it
		return Step{}, unix.EAGAIN
	default:
		return Step{}, err
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &st); err != nil {
		return Step{}, unix.EAGAIN
	}
	s := Step{
		Path: path, Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid,
		ID: ID{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, st.Size, st.Ctime.Sec, st.Ctime.Nsec},
	}
	if s.IsLink() {
		known, ok := p.known(s.ID)
		if !ok {
			return Step{}, unix.EAGAIN
		}
		s.Link = known
	}
	return s, nil
}

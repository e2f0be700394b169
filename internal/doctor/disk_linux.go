package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/manifest"
)

// fileSystem looks at what the state lies on.
func fileSystem(m *Machine, _ context.Context) []Finding {
	var fs unix.Statfs_t
	if err := unix.Statfs(there(m.State), &fs); err != nil {
		return unseen(fmt.Sprintf("cannot look at the file system of %s: %v", m.State, err), asRoot)
	}
	const move = "move the state to a disk of this machine's own, ext4, xfs or btrfs"
	where := m.State + " lies on "
	switch uint32(fs.Type) { // statfs(2)
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, 0x2fc12fc1: // the last is ZFS
		return ok(where + "a file system that keeps what was synced")
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return []Finding{{Level: Weaker, What: where + "memory (tmpfs)", Follows: durable + ": a restart of the machine loses all of it", Remedy: move}}
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC:
		return []Finding{{Level: Weaker, What: fmt.Sprintf("%sa file system of another machine or program (type %#x)", where, uint32(fs.Type)),
			Follows: durable + ": whether it is on a disk, the other side knows; its locks may let two monitors in", Remedy: move}}
	case unix.OVERLAYFS_SUPER_MAGIC:
		return []Finding{{Level: Weaker, What: where + "an overlay, as in a container", Follows: durable + ": it goes with the container", Remedy: "mount a volume there"}}
	}
	return []Finding{{Level: Weaker, What: fmt.Sprintf("%sa file system that deputy was not tested on (type %#x)", where, uint32(fs.Type)), Remedy: move}}
}

// trial is how many bytes are written to try the disk.
const trial = 256 << 10

// holes tries what caps output and what keeps room for the ends of tasks: a
// hole in a file, and blocks beyond its end (fallocate(2)).
func holes(m *Machine, _ context.Context) []Finding {
	fd, err := unix.Open(there(m.tasks()), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	switch {
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		return unseen("holes in files cannot be tried: "+there(m.tasks())+" is not mine to write in", asRoot)
	case err != nil:
		return []Finding{{Level: Weaker, What: fmt.Sprintf("cannot make a file without a name in %s: %v", m.tasks(), err), Remedy: "use ext4, xfs or btrfs"}}
	}
	f := os.NewFile(uintptr(fd), "trial")
	defer f.Close()
	if _, err := f.Write(make([]byte, trial)); err != nil {
		return []Finding{{Level: Wrong, What: fmt.Sprintf("cannot write in %s: %v", m.tasks(), err), Follows: durable, Remedy: "make room, or see why it is read-only: dmesg"}}
	}
	if err := unix.Fdatasync(fd); err != nil {
		return []Finding{{Level: Wrong, What: fmt.Sprintf("what is written in %s cannot be synced: %v", m.tasks(), err), Follows: durable, Remedy: "the disk may be failing: dmesg"}}
	}
	var list []Finding
	before := blocks(fd)
	err = unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, trial/2)
	if after := blocks(fd); err != nil || after >= before {
		list = append(list, Finding{Level: Weaker, What: fmt.Sprintf("holes cannot be punched on the file system of %s (%v)", m.tasks(), reason(err)),
			Follows: "output beyond its cap stays on the disk until its task has ended: " + output, Remedy: "use ext4, xfs or btrfs for the state"})
	}
	if err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, trial, trial); err != nil {
		list = append(list, Finding{Level: Weaker, What: fmt.Sprintf("no room can be reserved on the file system of %s (%v)", m.tasks(), err),
			Follows: "on a full disk the ends of running tasks are recorded only once there is room", Remedy: "use ext4, xfs or btrfs for the state"})
	}
	if list == nil {
		list = ok("output can be capped by holes, and room reserved for the journal (both were tried)")
	}
	return list
}

func reason(err error) error {
	if err == nil {
		return errors.New("nothing was freed")
	}
	return err
}

func blocks(fd int) int64 {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Blocks
}

// refusesBelow is how much of the file system must be free, in percent, for
// anything new to be accepted; see internal/monitor/space/room.go.
const refusesBelow = 1

// room holds what is free against [storage].
func room(m *Machine, _ context.Context) []Finding {
	var fs unix.Statfs_t
	if unix.Statfs(there(m.State), &fs) != nil {
		return nil // said already
	}
	size := int64(fs.Bsize) // not the same type on every architecture
	total, free := int64(fs.Blocks)*size, int64(fs.Bavail)*size
	keep := manifest.Amount{Percent: 15}
	if m.policy != nil {
		keep = m.policy.Config.Storage.KeepFree
	}
	wanted := keep.Bytes
	if keep.Percent > 0 {
		wanted = int64(float64(total) * keep.Percent / 100)
	}
	what := fmt.Sprintf("%d MiB of %d MiB are free at %s", free>>20, total>>20, m.State)
	switch {
	case free < total*refusesBelow/100:
		return []Finding{{Level: Wrong, What: what + ": nothing new is accepted", Follows: recorded + ", and so nothing runs", Remedy: "make room: du -xh / | sort -h | tail"}}
	case free < wanted:
		return []Finding{{Level: Weaker, What: fmt.Sprintf("%s, less than [storage] keep_free (%d MiB)", what, wanted>>20),
			Follows: "the output of ended tasks, then the oldest part of the journal, is deleted sooner than declared", Remedy: "make room, or set [storage] keep_free in " + m.Config + "/deputy.toml"}}
	case fs.Files > 0 && fs.Ffree < fs.Files/100:
		return []Finding{{Level: Weaker, What: fmt.Sprintf("%d of %d inodes are free at %s; a task takes three", fs.Ffree, fs.Files, m.State), Follows: recorded, Remedy: "delete small files there"}}
	}
	return ok(what)
}

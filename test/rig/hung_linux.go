//go:build linux

package rig

import (
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

const fuseInit = 26 // FUSE_INIT

// Hang mounts a file system over dir that takes each question and answers none, as
// a dead server's does (fuse(4)), until mend is called: then each fails. Who asks sleeps
// meanwhile, and not even SIGKILL ends that.
func Hang(t testing.TB, dir string) (mend func()) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", f.Fd())
	if err := unix.Mount("hung", dir, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 1<<17)
		for {
			n, err := unix.Read(int(f.Fd()), buf)
			if err == unix.EINTR || err == unix.EAGAIN {
				continue
			}
			if err != nil {
				return
			}
			if n >= 40 && binary.NativeEndian.Uint32(buf[4:]) == fuseInit {
				answer := make([]byte, 16+64)
				binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
				copy(answer[8:16], buf[8:16])                    // unique
				binary.NativeEndian.PutUint32(answer[16:], 7)    // major
				binary.NativeEndian.PutUint32(answer[20:], 31)   // minor
				binary.NativeEndian.PutUint32(answer[36:], 4096) // max_write
				_, _ = unix.Write(int(f.Fd()), answer)
			}
		}
	}()
	done := false
	mend = func() {
		if done {
			return
		}
		done = true
		_ = unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH) // by force: all who wait are told
		f.Close()
	}
	t.Cleanup(mend)
	return mend
}

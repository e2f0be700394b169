package rig

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
)

// NewBoot has the next start come in another boot of the machine, as far as
// deputy can see: the boot's id is another one, and no process or cgroup of a
// task is left. The deputy must have ended. It needs root.
func (d *Deputy) NewBoot() {
	d.t.Helper()
	NeedRoot(d.t)
	for _, leaf := range d.Leaves() {
		end(leaf)
	}
	var b [16]byte
	_, _ = rand.Read(b[:])
	file := filepath.Join(d.Work, fmt.Sprintf("boot-%x", b[:4]))
	id := fmt.Sprintf("%x-%x-%x-%x-%x\n", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	if err := os.WriteFile(file, []byte(id), 0o644); err != nil {
		d.t.Fatal(err)
	}
	// In a mount namespace of its own: it is gone with the last process in it.
	d.Wrapper = []string{"unshare", "--mount", "sh", "-ec", `mount --bind "$0" /proc/sys/kernel/random/boot_id; exec "$@"`, file}
}

// end kills all that lives in a leaf, and removes it.
func end(leaf string) {
	os.WriteFile(filepath.Join(leaf, "cgroup.kill"), []byte("1"), 0)
	for range 1000 {
		if os.Remove(leaf) == nil {
			return
		}
		Pause()
	}
}

//go:build !race

package process

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keepFromNewborns leaves out of newborns the memory that they never touch, which is
// what the Go runtime keeps for itself beside the heap. A fork copies the table of each area, and
// execve(2) takes the copy apart again: both are most of what a birth costs. What
// newborns need stays: the program, and the part of the heap with used, which
// they read, and this goroutine's stack.
func keepFromNewborns(used ...unsafe.Pointer) error {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("cannot list its memory: %w", err)
	}
	var local byte
	used = append(used, unsafe.Pointer(&local))
	var end uintptr // of the program's own areas, behind which its zeroed data lies
	for line := range strings.Lines(string(text)) {
		var from, to uintptr
		var mode, offset, device, name string
		var inode uint64
		_, _ = fmt.Sscanf(line, "%x-%x %s %s %s %d %s", &from, &to, &mode, &offset, &device, &inode, &name)
		if inode != 0 {
			end = to
		}
		if inode != 0 || name != "" || from == end || holds(from, to, used) {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTFORK); errno != 0 {
			return fmt.Errorf("cannot keep its memory to itself: %w", errno)
		}
	}
	return nil
}

func holds(from, to uintptr, used []unsafe.Pointer) bool {
	for _, p := range used {
		if uintptr(p) >= from && uintptr(p) < to {
			return true
		}
	}
	return false
}

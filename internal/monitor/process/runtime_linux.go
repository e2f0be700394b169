//go:build !race && !cgo

package process

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// leaveRuntime leaves out of the forker the memory that the Go runtime keeps for itself.
// What a forker needs stays: the program, used, and the part of the heap with this goroutine's
// stack, which is what it gives.
func leaveRuntime(used unsafe.Pointer) (stack area, err error) {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return stack, fmt.Errorf("cannot list its memory: %w", err)
	}
	var local byte
	var end uintptr // of the program's own areas, behind which its zeroed data lies
	for line := range strings.Lines(string(text)) {
		var a area
		var mode, offset, device, name string
		var inode uint64
		_, _ = fmt.Sscanf(line, "%x-%x %s %s %s %d %s", &a.from, &a.to, &mode, &offset, &device, &inode, &name)
		if inode != 0 {
			end = a.to
		}
		if inode != 0 || name != "" || a.from == end || a.holds(used) {
			continue
		}
		if a.holds(unsafe.Pointer(&local)) {
			stack = a
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, a.from, a.to-a.from, unix.MADV_DONTFORK); errno != 0 {
			return stack, fmt.Errorf("cannot leave memory behind: %w", errno)
		}
	}
	return stack, nil
}

func (a area) holds(p unsafe.Pointer) bool { return uintptr(p) >= a.from && uintptr(p) < a.to }

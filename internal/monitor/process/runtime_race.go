//go:build race && linux

package process

import "unsafe"

// leaveRuntime leaves nothing: the race detector lives in all of the memory.
func leaveRuntime(unsafe.Pointer) (area, error) { return area{}, nil }

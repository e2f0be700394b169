// Package pipe makes the named pipes that join deputy's programs on Windows.
package pipe

import (
	"crypto/rand"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

const bufferSize = 64 << 10 // bytes, each way

// Pair makes the two ends of a stream that carries bytes both ways. Theirs is a
// handle that a child can inherit and make a file of by os.NewFile; the caller
// closes it. A pipe of os.Pipe would do for one way only.
func Pair() (ours *os.File, theirs windows.Handle, err error) {
	name, err := windows.UTF16PtrFromString(`\\.\pipe\deputy-pair-` + rand.Text())
	if err != nil {
		return nil, 0, err
	}
	// The name is known to nobody, and there is one instance: ours and theirs.
	sd, err := windows.SecurityDescriptorFromString("D:P(A;;GA;;;OW)")
	if err != nil {
		return nil, 0, err
	}
	attributes := windows.SecurityAttributes{Length: uint32(unsafe.Sizeof(windows.SecurityAttributes{})), SecurityDescriptor: sd}
	server, err := windows.CreateNamedPipe(name, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_OVERLAPPED|windows.FILE_FLAG_FIRST_PIPE_INSTANCE,
		windows.PIPE_TYPE_BYTE|windows.PIPE_REJECT_REMOTE_CLIENTS, 1, bufferSize, bufferSize, 0, &attributes)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot make a pipe: %w", err)
	}
	attributes.InheritHandle, attributes.SecurityDescriptor = 1, nil
	theirs, err = windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, &attributes, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED, 0)
	if err != nil {
		windows.CloseHandle(server)
		return nil, 0, fmt.Errorf("cannot make a pipe: %w", err)
	}
	return os.NewFile(uintptr(server), "pipe"), theirs, nil
}

package client

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	errBusy         = syscall.Errno(231) // ERROR_PIPE_BUSY: no instance is free at the moment
	errDisconnected = syscall.Errno(233) // ERROR_PIPE_NOT_CONNECTED
	busyPause       = 20 * time.Millisecond

	// FILE_GENERIC_READ and FILE_GENERIC_WRITE without FILE_CREATE_PIPE_INSTANCE,
	// which GENERIC_WRITE would ask for too, and which is not given to all.
	pipeAccess = 0x12019b

	// Whoever serves the pipe may learn who I am, and not act as me.
	identifyOnly = 0x00110000 // SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION
)

// Dial connects to the pipe of a daemon: \\.\pipe\deputy.
func Dial(ctx context.Context, name string) (net.Conn, error) {
	wide, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	for {
		h, err := syscall.CreateFile(wide, pipeAccess, 0, nil,
			syscall.OPEN_EXISTING, syscall.FILE_FLAG_OVERLAPPED|identifyOnly, 0)
		if err == nil {
			return pipe{os.NewFile(uintptr(h), name)}, nil
		}
		if !errors.Is(err, errBusy) {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		select {
		case <-time.After(busyPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pipe is a connection over a named pipe.
type pipe struct{ *os.File }

// Read tells of the other's end by io.EOF.
func (p pipe) Read(b []byte) (int, error) {
	n, err := p.File.Read(b)
	if errors.Is(err, syscall.ERROR_BROKEN_PIPE) || errors.Is(err, errDisconnected) {
		err = io.EOF
	}
	return n, err
}

// LocalAddr and RemoteAddr are the pipe's name.
func (p pipe) LocalAddr() net.Addr  { return &net.UnixAddr{Name: p.Name(), Net: "pipe"} }
func (p pipe) RemoteAddr() net.Addr { return &net.UnixAddr{Name: p.Name(), Net: "pipe"} }

package keeper

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// A service that is stopped leaves its tasks alive, and Windows has nobody to
// hold their handles meanwhile: so the keeper leaves a holder, a process that
// does nothing else, until the next keeper takes them from it. The exchange, over
// a pipe whose name follows from the command line of both:
//
//	holder → keeper   LEAF PID BOOTNS HANDLE…    each, by its value in the holder
//	holder → keeper   end
//	keeper → holder   taken                      and the holder ends

// holderWithin bounds the wait for a holder that starts, or that hands over.
const holderWithin = 20 * time.Second

// holderPipe is the name under which the holder of a keeper of argv is found.
func holderPipe(argv []string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.Join(argv, "\x00"))))
	return `\\.\pipe\deputyd-held-` + hex.EncodeToString(sum[:8])
}

// leave starts a holder for all that is held, and returns once it can be found.
func (k *keeper) leave() error {
	if len(k.held) == 0 {
		return nil
	}
	var lines strings.Builder
	var handles []syscall.Handle
	for _, leaf := range slices.Sorted(maps.Keys(k.held)) {
		h := k.held[leaf]
		lines.WriteString(h.text)
		for _, handle := range h.handles {
			if err := windows.SetHandleInformation(handle, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
				return err
			}
			handles = append(handles, syscall.Handle(handle))
			fmt.Fprintf(&lines, " %d", handle)
		}
		lines.WriteString("\n")
	}
	in, lend, err := os.Pipe()
	if err != nil {
		return err
	}
	defer lend.Close()
	hear, out, err := os.Pipe()
	if err != nil {
		in.Close()
		return err
	}
	argv := []string{k.argv[0], "--role", "holder", holderPipe(k.argv)}
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Files: []*os.File{in, out, nil},
		Sys:   &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP, AdditionalInheritedHandles: handles},
	})
	in.Close()
	out.Close()
	if err != nil {
		hear.Close()
		return err
	}
	_ = p.Release()
	if _, err = io.WriteString(lend, lines.String()); err != nil {
		hear.Close()
		return err
	}
	lend.Close()
	return heard(hear)
}

// heard waits until a holder has said that it can be found, and closes the pipe.
// Pipes of Windows know no deadline.
func heard(pipe *os.File) error {
	said := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(pipe, make([]byte, 1))
		pipe.Close()
		said <- err
	}()
	select {
	case err := <-said:
		return err
	case <-time.After(holderWithin):
		return fmt.Errorf("the holder has not begun after %v", holderWithin)
	}
}

// HolderMain is the holder. It is given the pipe's name by its last argument, and
// what it holds on stdin; its handles it has inherited.
func HolderMain(args []string) int {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 1
	}
	end, err := listenAsHolder(args[len(args)-1])
	if err != nil {
		return 1
	}
	if _, err := os.Stdout.Write([]byte{1}); err != nil {
		return 1
	}
	os.Stdout.Close()
	for !handOver(end, string(text)+"end\n") {
		_ = windows.DisconnectNamedPipe(end)
	}
	return 0
}

func listenAsHolder(name string) (windows.Handle, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	sd, err := windows.SecurityDescriptorFromString("D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)")
	if err != nil {
		return 0, err
	}
	attributes := windows.SecurityAttributes{Length: uint32(unsafe.Sizeof(windows.SecurityAttributes{})), SecurityDescriptor: sd}
	return windows.CreateNamedPipe(path, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_FIRST_PIPE_INSTANCE,
		windows.PIPE_TYPE_BYTE|windows.PIPE_REJECT_REMOTE_CLIENTS, 1, 64<<10, 64<<10, 0, &attributes)
}

// handOver serves one keeper, and says whether it has taken all.
func handOver(end windows.Handle, text string) bool {
	if err := windows.ConnectNamedPipe(end, nil); err != nil && !errors.Is(err, windows.ERROR_PIPE_CONNECTED) {
		time.Sleep(100 * time.Millisecond) // a pipe that is broken for good is looked at again, and holds on
		return false
	}
	for rest := []byte(text); len(rest) > 0; {
		var n uint32
		if err := windows.WriteFile(end, rest, &n, nil); err != nil {
			return false
		}
		rest = rest[n:]
	}
	answer := make([]byte, 16)
	var n uint32
	err := windows.ReadFile(end, answer, &n, nil)
	return err == nil && string(answer[:n]) == "taken\n"
}

// take takes what the keeper before us left with a holder, if it left one.
func (k *keeper) take() error {
	const whoever = 0x00110000 // SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION: it may not act as us
	path, err := windows.UTF16PtrFromString(holderPipe(k.argv))
	if err != nil {
		return err
	}
	h, err := windows.CreateFile(path, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED|whoever, 0)
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return nil
	}
	if err != nil {
		return err
	}
	end := os.NewFile(uintptr(h), "holder")
	defer end.Close()
	if err := end.SetDeadline(time.Now().Add(holderWithin)); err != nil {
		return err
	}
	holder, err := ourHolder(h)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(holder)
	for in := bufio.NewScanner(end); ; {
		if !in.Scan() {
			return fmt.Errorf("it said only a part: %w", in.Err())
		}
		if in.Text() == "end" {
			break
		}
		if err := k.takeFrom(holder, strings.Fields(in.Text())); err != nil {
			return err
		}
	}
	_, err = io.WriteString(end, "taken\n")
	return err
}

// ourHolder opens the process at the other end of a pipe, if it runs as we do:
// the name alone anybody could have taken.
func ourHolder(end windows.Handle) (windows.Handle, error) {
	var pid uint32
	if err := windows.GetNamedPipeServerProcessId(end, &pid); err != nil {
		return 0, err
	}
	p, err := windows.OpenProcess(windows.PROCESS_DUP_HANDLE|windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return 0, err
	}
	var token windows.Token
	if err = windows.OpenProcessToken(p, windows.TOKEN_QUERY, &token); err == nil {
		defer token.Close()
		var its, our *windows.Tokenuser
		if its, err = token.GetTokenUser(); err == nil {
			our, err = windows.GetCurrentProcessToken().GetTokenUser()
		}
		if err == nil && !its.User.Sid.Equals(our.User.Sid) {
			err = errors.New("another user's program has taken its name")
		}
	}
	if err != nil {
		windows.CloseHandle(p)
		return 0, err
	}
	return p, nil
}

// takeFrom makes the handles of one line ours.
func (k *keeper) takeFrom(holder windows.Handle, fields []string) error {
	for i := 3; i < len(fields); i++ {
		var theirs, ours windows.Handle
		if _, err := fmt.Sscan(fields[i], &theirs); err != nil {
			return err
		}
		if err := windows.DuplicateHandle(holder, theirs, windows.CurrentProcess(), &ours, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
			return err
		}
		fields[i] = fmt.Sprint(uintptr(ours))
	}
	k.hold(fields)
	return nil
}

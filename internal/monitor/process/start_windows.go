package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"

	"deputy/internal/monitor/clock"
)

// startSlack is how far a first process's birth may lie from its BootNS: the
// two clocks that are compared tick every 16 ms, and the wall clock may be set.
const startSlack = 2 * time.Second

// procThreadAttributeJobList has a process born in jobs (winbase.h).
const procThreadAttributeJobList = 0x0002000d

// Start begins an attempt. Its events may come before Start returns. An error
// is one of ErrNotFound, ErrNotExecutable, ErrNotStarted.
func (h *Host) Start(_ context.Context, s Spec) (Attempt, error) {
	defer s.gone()
	if err := h.reserve(s.Leaf); err != nil {
		return Attempt{}, &startError{s.Argv[0], ErrNotStarted, err}
	}
	a, err := h.birth(s)
	if err != nil {
		h.unreserve(s.Leaf)
		return Attempt{}, whyNot(s, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watch(a)
	return a.Attempt, nil
}

// birth makes the job, and in it the first process, which runs only once the
// keeper holds both: a monitor that dies before leaves nothing behind, one that
// dies after loses nothing.
func (h *Host) birth(s Spec) (*attempt, error) {
	if err := checkProgram(s.Argv[0]); err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.lastKey++
	a := &attempt{key: h.lastKey, Attempt: Attempt{Leaf: s.Leaf}}
	h.mu.Unlock()
	var err error
	if a.job, err = createJob(h.jobName(s.Leaf), a.key, h.port); err != nil {
		return nil, fmt.Errorf("cannot make its job: %w", err)
	}
	born, err := create(s, a.job)
	if err != nil {
		a.job.close()
		return nil, err
	}
	defer windows.CloseHandle(born.Thread)
	a.process, a.PID, a.BootNS = born.Process, int(born.ProcessId), clock.Now()
	if h.options.Holder != nil {
		err = h.options.Holder.Keep(a.Attempt, uintptr(a.job), uintptr(a.process))
	}
	if err == nil {
		err = a.job.keepName(a.process)
	}
	if err == nil {
		err = a.job.outlive()
	}
	if err == nil {
		_, err = windows.ResumeThread(born.Thread)
	}
	if err != nil {
		_, _ = a.job.kill() // what has never run
		a.job.close()
		windows.CloseHandle(a.process)
		if h.options.Holder != nil {
			_ = h.options.Holder.Forget(s.Leaf)
		}
		return nil, fmt.Errorf("cannot let it run: %w", err)
	}
	return a, nil
}

// checkProgram refuses what CreateProcess would hand to cmd.exe, a shell: its
// reading of the arguments is not ours (CVE-2024-24576).
func checkProgram(path string) error {
	if extension := filepath.Ext(path); strings.EqualFold(extension, ".exe") || strings.EqualFold(extension, ".com") {
		return nil
	}
	return fmt.Errorf("%w: a program's name ends in .exe; a script is an argument of its interpreter, and a batch file would be read by a shell", windows.ERROR_BAD_EXE_FORMAT)
}

// create makes the first process, which does not run yet: born in the job, with
// three handles and no other, a console of its own that nobody sees, a process
// group of its own, and the declared environment, directory and user.
func create(s Spec, in job) (*windows.ProcessInformation, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	std, err := inheritable(null, s.Stdin, s.Stdout, s.Stderr)
	if err != nil {
		return nil, err
	}
	defer closeAll(std)
	attributes, err := windows.NewProcThreadAttributeList(2)
	if err != nil {
		return nil, err
	}
	defer attributes.Delete()
	if err = attributes.Update(windows.PROC_THREAD_ATTRIBUTE_HANDLE_LIST, unsafe.Pointer(&std[0]), uintptr(len(std))*unsafe.Sizeof(std[0])); err != nil {
		return nil, err
	}
	if err = attributes.Update(procThreadAttributeJobList, unsafe.Pointer(&in), unsafe.Sizeof(in)); err != nil {
		return nil, err
	}
	texts, err := encode(s.Argv[0], windows.ComposeCommandLine(s.Argv), directory(s))
	if err != nil {
		return nil, err
	}
	environment, err := block(s.Env)
	if err != nil {
		return nil, err
	}
	start := windows.StartupInfoEx{ProcThreadAttributeList: attributes.List()}
	start.Cb = uint32(unsafe.Sizeof(start))
	start.Flags = windows.STARTF_USESTDHANDLES
	start.StdInput, start.StdOutput, start.StdErr = std[0], std[1], std[2]
	const flags = windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_NO_WINDOW |
		windows.CREATE_UNICODE_ENVIRONMENT | windows.EXTENDED_STARTUPINFO_PRESENT
	var born windows.ProcessInformation
	if s.Credential != nil {
		token, failed := LogOn(s.Credential.SID)
		if failed != nil {
			return nil, failed
		}
		defer token.Close()
		err = windows.CreateProcessAsUser(token, texts[0], texts[1], nil, nil, true, flags, environment, texts[2], &start.StartupInfo, &born)
	} else {
		err = windows.CreateProcess(texts[0], texts[1], nil, nil, true, flags, environment, texts[2], &start.StartupInfo, &born)
	}
	runtime.KeepAlive(s)
	return &born, err
}

// inheritable duplicates stdin, stdout and stderr as handles that a child may
// inherit; null stands for what is nil.
func inheritable(null *os.File, files ...*os.File) ([]windows.Handle, error) {
	handles := make([]windows.Handle, 0, len(files))
	self := windows.CurrentProcess()
	for _, f := range files {
		if f == nil {
			f = null
		}
		var h windows.Handle
		if err := windows.DuplicateHandle(self, windows.Handle(f.Fd()), self, &h, 0, true, windows.DUPLICATE_SAME_ACCESS); err != nil {
			closeAll(handles)
			return nil, err
		}
		handles = append(handles, h)
	}
	return handles, nil
}

func closeAll(handles []windows.Handle) {
	for _, h := range handles {
		windows.CloseHandle(h)
	}
}

func directory(s Spec) string {
	if s.Dir != "" {
		return s.Dir
	}
	dir, _ := windows.GetSystemDirectory()
	return dir
}

func encode(texts ...string) (encoded []*uint16, err error) {
	for _, text := range texts {
		p, err := windows.UTF16PtrFromString(text)
		if err != nil {
			return nil, fmt.Errorf("cannot hand %.40q over: %w", text, err)
		}
		encoded = append(encoded, p)
	}
	return encoded, nil
}

// block is an environment as CreateProcess takes it: each text ended by a NUL,
// and all by another.
func block(environment []string) (*uint16, error) {
	var all []uint16
	for _, text := range environment {
		if strings.ContainsRune(text, 0) {
			return nil, fmt.Errorf("cannot hand %.40q over: it holds a NUL", text)
		}
		all = append(append(all, utf16.Encode([]rune(text))...), 0)
	}
	if len(all) == 0 {
		all = append(all, 0)
	}
	all = append(all, 0)
	return &all[0], nil
}

// startError says why a program could not be started; kind is for errors.Is.
type startError struct {
	program string
	kind    error
	cause   error
}

func (e *startError) Error() string   { return fmt.Sprintf("cannot start %s: %v", e.program, e.cause) }
func (e *startError) Unwrap() []error { return []error{e.kind, e.cause} }

// whyNot sorts the error of a failed start.
func whyNot(s Spec, err error) error {
	e := &startError{s.Argv[0], ErrNotStarted, err}
	switch {
	case errors.Is(err, windows.ERROR_DIRECTORY):
		e.cause = fmt.Errorf("its directory %s: %w", directory(s), err)
	case errors.Is(err, windows.ERROR_FILE_NOT_FOUND), errors.Is(err, windows.ERROR_PATH_NOT_FOUND), errors.Is(err, windows.ERROR_INVALID_NAME):
		e.kind = ErrNotFound
	case errors.Is(err, windows.ERROR_ACCESS_DENIED), errors.Is(err, windows.ERROR_BAD_EXE_FORMAT), errors.Is(err, windows.ERROR_EXE_MACHINE_TYPE_MISMATCH):
		e.kind = ErrNotExecutable
	}
	return e
}

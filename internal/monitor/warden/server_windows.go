package warden

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"deputy/internal/monitor/confine"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/site"
	"deputy/internal/pipe"
	"deputy/internal/wall"
)

// A server begins with the handles that it is given by name and no other, without our
// privileges, and dies with us: its job ends with our only handle of it.

// start starts deputy-server, and gives our ends of the stream and of the
// door. There is no plan here: what confines it is its account.
func (w *Warden) start(*confine.Plan) (program *os.Process, stream *os.File, door *wall.Door, err error) {
	stream, theirStream, err := pipe.Pair()
	if err != nil {
		return nil, nil, nil, err
	}
	defer windows.CloseHandle(theirStream)
	ourDoor, theirDoor, err := pipe.Pair()
	if err != nil {
		stream.Close()
		return nil, nil, nil, err
	}
	defer windows.CloseHandle(theirDoor)
	if program, err = w.execute(theirStream, theirDoor); err == nil {
		if err = keepInJob(program); err == nil {
			return program, stream, wall.NewDoorTo(ourDoor, program), nil
		}
		program.Kill()
	}
	stream.Close()
	ourDoor.Close()
	return nil, nil, nil, err
}

// execute starts the program with two handles beside the standard ones, by
// their values: the stream and the door. In the installed service it has none of
// our privileges.
func (w *Warden) execute(stream, door windows.Handle) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Dir: filepath.Dir(w.o.Paths.ServerProg),
		Env: []string{"SystemRoot=" + os.Getenv("SystemRoot"), "GOMEMLIMIT=192MiB",
			fmt.Sprintf("%s=%d %d", wall.HandlesEnv, stream, door)},
		Files: []*os.File{null, os.Stderr, os.Stderr},
		Sys: &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP,
			AdditionalInheritedHandles: []syscall.Handle{syscall.Handle(stream), syscall.Handle(door)}},
	}
	if !w.o.Up {
		token, err := serverToken()
		if err != nil {
			return nil, fmt.Errorf("cannot start the server without privileges: %w", err)
		}
		defer token.Close()
		attr.Sys.Token = syscall.Token(token)
	}
	p, err := os.StartProcess(w.o.Paths.ServerProg, []string{"deputy-server"}, attr)
	if err != nil {
		return nil, fmt.Errorf("cannot start the server: %w", err)
	}
	return p, nil
}

// serverToken is LocalService's where we are the system. Any other account can
// become nobody else: then the server has our own rights without our privileges.
func serverToken() (windows.Token, error) {
	if site.SelfSID() == site.SystemSID {
		return process.LogOn(process.LocalService)
	}
	var own, less windows.Token
	if err := windows.OpenProcessToken(windows.CurrentProcess(), windows.TOKEN_DUPLICATE|windows.TOKEN_ASSIGN_PRIMARY|windows.TOKEN_QUERY, &own); err != nil {
		return 0, err
	}
	defer own.Close()
	const disableMaxPrivilege = 1
	restrict := windows.NewLazySystemDLL("advapi32.dll").NewProc("CreateRestrictedToken")
	ok, _, err := restrict.Call(uintptr(own), disableMaxPrivilege, 0, 0, 0, 0, 0, 0, uintptr(unsafe.Pointer(&less)))
	if ok == 0 {
		return 0, err
	}
	return less, nil
}

// keepInJob has a server die with us: its job ends with the only handle of it,
// which is closed when the server is dead, or by our own death.
func keepInJob(program *os.Process) error {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return fmt.Errorf("cannot make the server's job: %w", err)
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	var server windows.Handle
	if err == nil {
		server, err = windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(program.Pid))
	}
	if err == nil {
		err = windows.AssignProcessToJobObject(job, server)
	}
	if err != nil {
		windows.CloseHandle(job)
		return fmt.Errorf("cannot put the server in a job: %w", err)
	}
	go func() {
		_, _ = windows.WaitForSingleObject(server, windows.INFINITE)
		windows.CloseHandle(server)
		windows.CloseHandle(job)
	}()
	return nil
}

// endServer asks a server to end in good order: it does when the stream ends.
func endServer(_ *os.Process, stream io.Closer) { stream.Close() }

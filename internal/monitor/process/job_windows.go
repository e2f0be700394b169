package process

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"

	"deputy"
)

// killedCode is the exit code that TerminateJobObject gives, as taskkill /F does.
const killedCode = 1

// job is a Job Object: whatever a process in it starts is in it too, and nothing
// leaves it, since it allows no breakaway (Job Objects, Microsoft Learn).
type job windows.Handle

// associated is JOBOBJECT_ASSOCIATE_COMPLETION_PORT.
type associated struct {
	key  uintptr
	port windows.Handle
}

// accounting is JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
type accounting struct {
	userTime, kernelTime, periodUserTime, periodKernelTime int64
	faults, total, active, terminated                      uint32
}

// createJob makes the job of one leaf, whose news goes to port under key. Until
// outlive is called it dies with its last handle: with us.
func createJob(name string, key uintptr, port windows.Handle) (job, error) {
	// SYSTEM and administrators may do all, its maker too; nobody else anything.
	sd, err := windows.SecurityDescriptorFromString("D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)")
	if err != nil {
		return 0, err
	}
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	attributes := windows.SecurityAttributes{Length: uint32(unsafe.Sizeof(windows.SecurityAttributes{})), SecurityDescriptor: sd}
	h, err := windows.CreateJobObject(&attributes, text)
	if errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		windows.CloseHandle(h)
		return 0, errors.New("a job of this name exists")
	}
	if err != nil {
		return 0, err
	}
	j := job(h)
	if err = j.limit(windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, 0); err == nil {
		err = j.tell(key, port)
	}
	if err != nil {
		j.close()
		return 0, err
	}
	return j, nil
}

// openJob finds a job of an earlier monitor, which the keeper kept.
func openJob(name string) (job, error) {
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	const access = 0x1F001F // JOB_OBJECT_ALL_ACCESS up to Windows 7, which is all that is needed here
	h, _, err := procOpenJobObject.Call(access, 0, uintptr(unsafe.Pointer(text)))
	if h == 0 {
		return 0, err
	}
	return job(h), nil
}

var procOpenJobObject = windows.NewLazySystemDLL("kernel32.dll").NewProc("OpenJobObjectW")

func (j job) close() { _ = windows.CloseHandle(windows.Handle(j)) }

// tell has news of the job go to port. It can be said once in a job's life.
func (j job) tell(key uintptr, port windows.Handle) error {
	a := associated{key, port}
	_, err := windows.SetInformationJobObject(windows.Handle(j), windows.JobObjectAssociateCompletionPortInformation,
		uintptr(unsafe.Pointer(&a)), uint32(unsafe.Sizeof(a)))
	return err
}

// limit replaces the job's limits.
func (j job) limit(flags, processes uint32) error {
	var l windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	l.BasicLimitInformation.LimitFlags, l.BasicLimitInformation.ActiveProcessLimit = flags, processes
	_, err := windows.SetInformationJobObject(windows.Handle(j), windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&l)), uint32(unsafe.Sizeof(l)))
	return err
}

// outlive lets what is in the job live on when its last handle is closed.
func (j job) outlive() error { return j.limit(0, 0) }

// keepName has the job keep its name while a process in it lives, should nobody
// else hold the job: by a handle in that process, with which it can do nothing
// but wait.
func (j job) keepName(in windows.Handle) error {
	var there windows.Handle
	return windows.DuplicateHandle(windows.CurrentProcess(), windows.Handle(j), in, &there, windows.SYNCHRONIZE, false, 0)
}

// freezeBirths lets nothing more be born in the job: one process is fewer than
// there are, or none lives that could start another.
func (j job) freezeBirths() error { return j.limit(windows.JOB_OBJECT_LIMIT_ACTIVE_PROCESS, 1) }

// active counts what lives in the job.
func (j job) active() (int, error) {
	var a accounting
	err := windows.QueryInformationJobObject(windows.Handle(j), windows.JobObjectBasicAccountingInformation,
		uintptr(unsafe.Pointer(&a)), uint32(unsafe.Sizeof(a)), nil)
	return int(a.active), err
}

// pids lists what lives in the job.
func (j job) pids() ([]uint32, error) {
	type list struct { // JOBOBJECT_BASIC_PROCESS_ID_LIST
		assigned, listed uint32
		ids              [1]uintptr
	}
	for room := 64; ; room *= 4 {
		buf := make([]uintptr, room+1) // the two counts fill one or two words
		err := windows.QueryInformationJobObject(windows.Handle(j), windows.JobObjectBasicProcessIdList,
			uintptr(unsafe.Pointer(&buf[0])), uint32(len(buf))*uint32(unsafe.Sizeof(buf[0])), nil)
		l := (*list)(unsafe.Pointer(&buf[0]))
		if errors.Is(err, windows.ERROR_MORE_DATA) || err == nil && l.listed < l.assigned {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot list the processes of a job: %w", err)
		}
		ids := unsafe.Slice(&l.ids[0], l.listed)
		pids := make([]uint32, len(ids))
		for i, id := range ids {
			pids[i] = uint32(id)
		}
		return pids, nil
	}
}

// living lists what lives in the job, without the console hosts that Windows
// adds to it: such a one ends by itself when the last program of its console has.
func (j job) living() ([]deputy.Survivor, error) {
	pids, err := j.pids()
	var all []deputy.Survivor
	for _, pid := range pids {
		image := imageOf(pid)
		if !strings.EqualFold(image, consoleHost()) {
			all = append(all, deputy.Survivor{PID: int(pid), Comm: filepath.Base(image), State: "R"})
		}
	}
	return all, err
}

func consoleHost() string {
	dir, _ := windows.GetSystemDirectory()
	return filepath.Join(dir, "conhost.exe")
}

// imageOf is the path of a process's program; "" if that cannot be seen.
func imageOf(pid uint32) string {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return ""
	}
	defer windows.CloseHandle(h)
	buf := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(buf))
	if windows.QueryFullProcessImageName(h, 0, &buf[0], &size) != nil {
		return ""
	}
	return windows.UTF16ToString(buf[:size])
}

// kill ends all that lives in the job and counts it just before, when nothing
// more can be born.
func (j job) kill() (killed int, err error) {
	_ = j.freezeBirths() // without it what is born meanwhile dies uncounted
	living, err := j.living()
	if kill := windows.TerminateJobObject(windows.Handle(j), killedCode); kill != nil {
		return len(living), fmt.Errorf("cannot terminate a job: %w", kill)
	}
	return len(living), err
}

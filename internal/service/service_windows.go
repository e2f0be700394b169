package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"
)

// name is the service's, and that of its source in the event log.
const name = "deputy"

// changeWithin bounds the wait for a state that was asked for, while the service
// tells no progress.
const changeWithin = 30 * time.Second

// Service is deputy as a service of Windows' service control manager.
type Service struct{ programs Programs }

// Here is the service control manager.
func Here(p Programs) (*Service, error) { return &Service{p}, nil }

var errNotInstalled = errors.New("it is not installed; install it with: deputy service install")

// data is what outlives the service: what is declared, and what was recorded.
func data() string { return filepath.Join(os.Getenv("ProgramData"), "deputy") }

// Install makes the service known to the manager, to be started with the
// machine. It does not start it.
func (s *Service) Install(ctx context.Context) (Report, error) {
	var r Report
	if err := s.install(&r); err != nil {
		return r, fmt.Errorf("cannot install the service: %w", err)
	}
	r.did("it starts with the machine (windows)")
	r.Next = "start it now: deputy service start"
	return r, nil
}

func (s *Service) install(r *Report) error {
	m, err := connect()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	if old, err := m.OpenService(name); err == nil {
		old.Close()
		r.did("kept the service " + name + ", which was there")
		return nil
	}
	if err := makeFolders(r); err != nil {
		return err
	}
	made, err := m.CreateService(name, s.programs.Daemon, mgr.Config{
		DisplayName:  "deputy",
		Description:  "Runs declared actions for programs that hold no privilege, and keeps a record of who asked.",
		StartType:    mgr.StartAutomatic,
		ErrorControl: mgr.ErrorNormal,
	}, "--service")
	if err != nil {
		return err
	}
	defer made.Close()
	r.did("made the service " + name + ", which runs " + s.programs.Daemon)
	// The keeper restarts the monitor by itself; this is for the keeper's own death.
	restart := []mgr.RecoveryAction{{Type: mgr.ServiceRestart, Delay: time.Second}, {Type: mgr.ServiceRestart, Delay: 5 * time.Second}, {Type: mgr.ServiceRestart, Delay: time.Minute}}
	if err := made.SetRecoveryActions(restart, uint32((24 * time.Hour).Seconds())); err != nil {
		r.did("it is not started again when it dies: " + err.Error())
	}
	if err := eventlog.InstallAsEventCreate(name, eventlog.Error|eventlog.Warning|eventlog.Info); err != nil {
		r.did("the event log shows its messages without their text: " + err.Error())
	}
	return nil
}

// The rights in data: administrators and the system may do all; others may read
// what is declared, except keys.
const (
	forAll  = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)"
	forRoot = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
)

// makeFolders makes them so that it is seen where files belong, and that nobody
// else has made them before.
func makeFolders(r *Report) error {
	for _, dir := range []struct{ path, rights string }{
		{"", forAll}, {"etc", forAll}, {`etc\modules.d`, forAll}, {`etc\allow.d`, forAll}, {`etc\keys`, forRoot}, {"log", forRoot},
	} {
		path := filepath.Join(data(), dir.path)
		if err := os.Mkdir(path, 0o700); err == nil {
			r.did("made " + path)
		} else if !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := protect(path, dir.rights); err != nil {
			return fmt.Errorf("cannot protect %s: %w", path, err)
		}
	}
	return nil
}

// protect gives a folder to the administrators and replaces its rights.
func protect(path, rights string) error {
	sd, err := windows.SecurityDescriptorFromString("O:BA" + rights)
	if err != nil {
		return err
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return err
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, owner, nil, dacl, nil)
}

// Remove ends the service and makes the manager forget it. What an administrator
// has declared and what deputy has recorded stay, unless purge.
func (s *Service) Remove(ctx context.Context, purge bool) (Report, error) {
	var r Report
	err := remove(ctx, &r)
	if err == nil && purge {
		if err = os.RemoveAll(data()); err == nil {
			r.did("deleted " + data())
		}
	}
	if err != nil {
		return r, fmt.Errorf("cannot remove the service: %w", err)
	}
	if _, err := os.Stat(data()); err == nil {
		r.Next = fmt.Sprintf("configuration and journal stay in %s; to delete them: deputy service remove --purge", data())
	}
	return r, nil
}

func remove(ctx context.Context, r *Report) error {
	m, err := connect()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	old, err := open(m)
	if errors.Is(err, errNotInstalled) {
		r.did("the service was not installed")
		return nil
	}
	if err != nil {
		return err
	}
	defer old.Close()
	if err := stop(ctx, old); err != nil {
		return err
	}
	if err := old.Delete(); err != nil {
		return err
	}
	r.did("stopped it, and deleted the service " + name)
	_ = eventlog.Remove(name) // a source that is not there needs no removing
	return nil
}

// Start starts it, and returns once it is ready.
func (s *Service) Start(ctx context.Context) (Report, error) {
	r, err := act("start", func(old *mgr.Service) error { return start(ctx, old) })
	if err == nil {
		r.did("started (windows)")
		r.Next = "see that it answers: deputy status --timeout 10s"
	}
	return r, err
}

// Stop ends it; tasks live on for the next start.
func (s *Service) Stop(ctx context.Context) (Report, error) {
	r, err := act("stop", func(old *mgr.Service) error { return stop(ctx, old) })
	if err == nil {
		r.did("stopped (windows); tasks live on")
		r.Next = "take them up: deputy service start"
	}
	return r, err
}

// Restart is Stop and Start; tasks live on.
func (s *Service) Restart(ctx context.Context) (Report, error) {
	r, err := act("restart", func(old *mgr.Service) error { return errors.Join(stop(ctx, old), start(ctx, old)) })
	if err == nil {
		r.did("restarted (windows)")
	}
	return r, err
}

func act(verb string, do func(*mgr.Service) error) (r Report, err error) {
	m, err := connect()
	if err == nil {
		defer m.Disconnect()
		var old *mgr.Service
		if old, err = open(m); err == nil {
			defer old.Close()
			err = do(old)
		}
	}
	if err != nil {
		return r, fmt.Errorf("cannot %s the service: %w", verb, err)
	}
	return r, nil
}

func start(ctx context.Context, old *mgr.Service) error {
	if err := old.Start(); err != nil && !errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING) {
		return err
	}
	err := reach(ctx, old, svc.Running)
	if errors.Is(err, errEnded) {
		err = fmt.Errorf("%w; it said why in %s", err, filepath.Join(data(), "log", "deputyd.log"))
	}
	return err
}

func stop(ctx context.Context, old *mgr.Service) error {
	_, err := old.Control(svc.Stop)
	if errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return nil
	}
	if err != nil {
		return err
	}
	return reach(ctx, old, svc.Stopped)
}

var errEnded = errors.New("it ended at once")

// reach waits for a state for as long as the service tells progress.
func reach(ctx context.Context, old *mgr.Service, want svc.State) error {
	var last svc.Status
	for until := time.Now().Add(changeWithin); ; {
		now, err := old.Query()
		switch {
		case err != nil:
			return err
		case now.State == want:
			return nil
		case now.State == svc.Stopped:
			return errEnded
		case now.State != last.State || now.CheckPoint != last.CheckPoint:
			until = time.Now().Add(changeWithin)
		case time.Now().After(until):
			return fmt.Errorf("it has told nothing for %v", changeWithin)
		}
		last = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// connect reaches the manager with the rights to change services.
func connect() (*mgr.Mgr, error) {
	m, err := mgr.Connect()
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return nil, errors.New("only an administrator may; start the command prompt with: Run as administrator")
	}
	return m, err
}

func open(m *mgr.Mgr) (*mgr.Service, error) {
	s, err := m.OpenService(name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return nil, errNotInstalled
	}
	return s, err
}

// Status needs no privilege.
func (s *Service) Status(context.Context) (Status, error) {
	status := Status{Manager: "windows"}
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
	if err != nil {
		return status, fmt.Errorf("cannot ask windows about deputy: %w", err)
	}
	defer windows.CloseServiceHandle(manager)
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return status, err
	}
	handle, err := windows.OpenService(manager, text, windows.SERVICE_QUERY_STATUS|windows.SERVICE_QUERY_CONFIG)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		status.Detail = "there is no service " + name
		return status, nil
	}
	if err != nil {
		return status, fmt.Errorf("cannot ask windows about deputy: %w", err)
	}
	old := &mgr.Service{Name: name, Handle: handle}
	defer old.Close()
	now, err := old.Query()
	if err != nil {
		return status, fmt.Errorf("cannot ask windows about deputy: %w", err)
	}
	buf := make([]byte, 8<<10) // the most that there can be
	var needed uint32
	config := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&buf[0]))
	if err := windows.QueryServiceConfig(handle, config, uint32(len(buf)), &needed); err != nil {
		return status, fmt.Errorf("cannot ask windows about deputy: %w", err)
	}
	status.Installed, status.PID, status.File = true, int(now.ProcessId), windows.UTF16PtrToString(config.BinaryPathName)
	status.Enabled, status.Running = config.StartType == mgr.StartAutomatic, now.State == svc.Running
	status.Detail = stateName(now.State)
	return status, nil
}

func stateName(s svc.State) string {
	switch s {
	case svc.Stopped:
		return "stopped"
	case svc.StartPending:
		return "start pending"
	case svc.StopPending:
		return "stop pending"
	case svc.Running:
		return "running"
	case svc.ContinuePending:
		return "continue pending"
	case svc.PausePending:
		return "pause pending"
	case svc.Paused:
		return "paused"
	}
	return fmt.Sprintf("state %d", s)
}

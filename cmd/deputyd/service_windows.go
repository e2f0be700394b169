package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"

	"deputy/internal/logqueue"
	"deputy/internal/monitor"
	"deputy/internal/monitor/keeper"
)

const (
	serviceName = "deputy"
	checkEvery  = time.Second     // a change that takes longer tells progress so often
	waitHint    = 10 * checkEvery // and is given up by the manager after so long without any
	logRotated  = 8 << 20         // bytes; a longer log is put aside at the next start
	eventID     = 1               // of all our messages: their text says the rest
	accepts     = svc.AcceptStop | svc.AcceptShutdown | svc.AcceptPauseAndContinue | svc.AcceptParamChange
)

// service is the keeper as a service of Windows (Service Control Manager,
// Microsoft Learn). That it is one is told by an argument: to ask Windows works
// in some sessions only.
type service struct {
	argv []string // of the monitor
	log  string   // its path
	say  *logqueue.Queue
}

// runService is Run of the keeper under the service control manager. It has no
// console: what it and the monitor have to say goes to a log beside the state.
func runService(argv []string, state string) int {
	log, err := openLogFile(filepath.Join(filepath.Dir(state), "log", "deputyd.log"))
	if err != nil {
		report(fmt.Sprint("cannot open the log: ", err))
		return 1
	}
	defer log.Close()
	os.Stderr = log // the monitor inherits it
	say := openLog(log)
	defer say.Flush(logqueue.LastWords)
	if err := svc.Run(serviceName, &service{argv, log.Name(), say}); err != nil {
		fmt.Fprintln(say, "deputyd: cannot run as a service:", err, "\nit is started by: deputy service start")
		return 1
	}
	return 0
}

func openLogFile(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Size() > logRotated {
		_ = os.Rename(path, path+".1") // otherwise it grows on
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// report writes an error to the event log, which an administrator looks at first.
func report(text string) {
	if log, err := eventlog.Open(serviceName); err == nil {
		_ = log.Error(eventID, text) // there is nobody else to tell
		log.Close()
	}
}

// Execute is called by the manager's dispatcher; see svc.Handler. Each change of
// state is told as it happens.
func (s *service) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (specific bool, code uint32) {
	orders, ready, over := make(chan syscall.Signal, 4), make(chan struct{}), make(chan int, 1)
	go func() { over <- keeper.Serve(s.argv, s.say, orders, func() { close(ready) }) }()
	now := svc.Status{State: svc.StartPending, WaitHint: uint32(waitHint / time.Millisecond)}
	status <- now
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ready:
			ready = nil
			now = svc.Status{State: svc.Running, Accepts: accepts}
			status <- now
		case <-tick.C:
			if now.State == svc.StartPending || now.State == svc.StopPending {
				now.CheckPoint++
				status <- now
			}
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- now
			case svc.Stop, svc.Shutdown:
				if now.State != svc.StopPending {
					now = svc.Status{State: svc.StopPending, WaitHint: uint32(waitHint / time.Millisecond)}
					status <- now
					orders <- syscall.SIGTERM
				}
			case svc.Pause: // nothing new is taken, as by: deputy drain
				now.State = svc.Paused
				orders <- monitor.PauseSignal
				status <- now
			case svc.Continue:
				now.State = svc.Running
				orders <- monitor.ContinueSignal
				status <- now
			case svc.ParamChange: // sc control deputy paramchange
				orders <- syscall.SIGHUP
			}
		case code := <-over:
			if code != 0 {
				report(fmt.Sprintf("deputyd ended with exit code %d; it said why in %s", code, s.log))
			}
			return true, uint32(code)
		}
	}
}

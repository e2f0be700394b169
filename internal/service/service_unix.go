//go:build linux || darwin

package service

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Service is deputy as a service of this machine.
type Service struct {
	programs Programs
	manager  manager
}

// manager is a service manager: the files by which it knows deputy, and the
// commands that have it act.
type manager struct {
	name    string
	files   []file
	vendor  []string    // where packages put what is in the first of files
	more    []string    // what administrators add to it
	enable  [][]string  // once the files are there
	disable [][]string  // ends the service and all that starts it
	forget  [][]string  // once the files are gone
	control [3][]string // start, stop, restart

	status func(context.Context) (Status, error)
	why    func(context.Context) string // what the service said when it did not start; "": see its log
	live   func() int                   // how many tasks live, with or without the service
}

// The places in manager.control.
const (
	start = iota
	stop
	restart
)

var errNotInstalled = errors.New("it is not installed; install it with: deputy service install")

// Install makes the service known to the manager, to be started with the
// machine. It does not start it.
func (s *Service) Install(ctx context.Context) (Report, error) {
	var r Report
	for _, step := range []func(context.Context, *Report) error{
		s.checkPrograms, s.addUser, s.makeFolders, s.writeFiles,
		func(ctx context.Context, r *Report) error { return runAll(ctx, s.manager.enable) },
	} {
		if err := step(ctx, &r); err != nil {
			return r, fmt.Errorf("cannot install the service: %w", err)
		}
	}
	r.did("it starts with the machine (" + s.manager.name + ")")
	r.Next = "start it now: deputy service start"
	return r, nil
}

// Remove ends the service and makes the manager forget it. What an administrator
// has declared and what deputy has recorded stay, unless purge. It is refused
// while tasks live: nobody would watch them any more.
func (s *Service) Remove(ctx context.Context, purge bool) (Report, error) {
	var r Report
	err := needRoot()
	if n := s.manager.live(); err == nil && n > 0 {
		err = fmt.Errorf("%s, and nobody would watch them; stop them first: deputy stop --all", tasks(n))
	}
	if err == nil {
		err = s.remove(ctx, &r)
	}
	if err == nil && purge {
		err = s.purge(ctx, &r)
	}
	if err != nil {
		return r, fmt.Errorf("cannot remove the service: %w", err)
	}
	if kept := existing(data); len(kept) > 0 {
		r.Next = fmt.Sprintf("configuration and journal stay in %s; to delete them: deputy service remove --purge", list(kept))
	}
	return r, nil
}

// Start starts it, and returns once it is ready.
func (s *Service) Start(ctx context.Context) (Report, error) {
	r, err := s.act(ctx, start, "start")
	if err == nil {
		r.Next = "see that it answers: deputy status --timeout 10s"
	}
	return r, err
}

// Stop ends it; tasks live on for the next start.
func (s *Service) Stop(ctx context.Context) (Report, error) {
	r, err := s.act(ctx, stop, "stop")
	if n := s.manager.live(); err == nil && n > 0 {
		r.did(tasks(n) + " on; the next start takes them up")
		r.Next = "take them up: deputy service start"
	}
	return r, err
}

// Restart is Stop and Start; tasks live on, and no connection is refused where
// the manager holds the socket.
func (s *Service) Restart(ctx context.Context) (Report, error) {
	r, err := s.act(ctx, restart, "restart")
	if n := s.manager.live(); err == nil && n > 0 {
		r.did(tasks(n) + " on, and were taken up")
	}
	return r, err
}

// Status needs no privilege.
func (s *Service) Status(ctx context.Context) (Status, error) {
	status, err := s.manager.status(ctx)
	if err != nil {
		return status, fmt.Errorf("cannot ask %s about deputy: %w", s.manager.name, err)
	}
	status.Manager = s.manager.name
	return status, nil
}

func (s *Service) act(ctx context.Context, what int, name string) (Report, error) {
	var r Report
	err := needRoot()
	if err == nil {
		var now Status
		if now, err = s.Status(ctx); err == nil && !now.Installed {
			err = errNotInstalled
		}
	}
	if err == nil {
		err = run(ctx, s.manager.control[what])
	}
	if err != nil {
		if said := s.manager.why(ctx); what != stop && said != "" && !errors.Is(err, errNotInstalled) {
			err = fmt.Errorf("%w; it said:\n%s", err, said)
		}
		return r, fmt.Errorf("cannot %s the service: %w", name, err)
	}
	r.did([]string{start: "started", stop: "stopped", restart: "restarted"}[what] + " (" + s.manager.name + ")")
	return r, nil
}

func needRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("only root may; try it with sudo")
	}
	return nil
}

func tasks(n int) string {
	if n == 1 {
		return "1 task lives"
	}
	return fmt.Sprintf("%d tasks live", n)
}

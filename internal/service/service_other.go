//go:build !linux && !darwin && !windows

package service

import (
	"context"
	"errors"
)

// Service is of no use here.
type Service struct{}

// Here fails: there is no service manager that we know.
func Here(Programs) (*Service, error) {
	return nil, errors.New("cannot install a service on this system; have your service manager start deputyd as root, see: deputyd --help")
}

func (*Service) Install(context.Context) (r Report, err error)      { return }
func (*Service) Remove(context.Context, bool) (r Report, err error) { return }
func (*Service) Start(context.Context) (r Report, err error)        { return }
func (*Service) Stop(context.Context) (r Report, err error)         { return }
func (*Service) Restart(context.Context) (r Report, err error)      { return }
func (*Service) Status(context.Context) (s Status, err error)       { return }

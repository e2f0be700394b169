package main

import (
	"fmt"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

func control(order string) error {
	m, err := mgr.Connect()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	s, err := m.OpenService("deputy")
	if err != nil {
		return err
	}
	defer s.Close()
	code := svc.Pause
	if order == "continue" {
		code = svc.Continue
	}
	status, err := s.Control(code)
	fmt.Println(status.State)
	return err
}

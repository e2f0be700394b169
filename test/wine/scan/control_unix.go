//go:build unix

package main

import "errors"

func control(string) error { return errors.New("only Windows has services to control") }

package main

import (
	"errors"

	"deputy/internal/server"
)

// inherited takes the pipes that the monitor has left open.
func inherited() (server.Sockets, error) {
	return server.Sockets{}, errors.New("cannot start alone: deputy-server is started by deputyd; for a deputy of your own run: deputy up")
}

package main

import (
	"errors"
	"fmt"
	"os"

	"deputy/internal/server"
	"deputy/internal/wall"
)

// inherited takes the pipes whose handles the monitor has told us.
func inherited() (server.Sockets, error) {
	var stream, door uintptr
	if _, err := fmt.Sscan(os.Getenv(wall.HandlesEnv), &stream, &door); err != nil {
		return server.Sockets{}, errors.New("cannot start alone: deputy-server is started by deputyd; for a deputy of your own run: deputy up")
	}
	return server.Sockets{Stream: os.NewFile(stream, "wall"), Door: os.NewFile(door, "door")}, nil
}

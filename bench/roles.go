//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// actAs is this program started again as a part of a measurement. It gives the
// exit code.
func actAs(role string, args []string) int {
	err := errors.New("cannot act so; see: bench --help")
	switch {
	case role == "@http" && len(args) == 1:
		err = servePlain(args[0])
	case role == "@write" && len(args) == 2:
		var block, bytes int
		if block, err = strconv.Atoi(args[0]); err == nil {
			bytes, err = strconv.Atoi(args[1])
		}
		if err == nil {
			err = write(block, bytes)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", role, err)
		return 1
	}
	return 0
}

package hosttest

import (
	"golang.org/x/sys/windows"

	"deputy"
)

// exit ends this process, with all 32 bits of its code.
func exit(e deputy.Exit) { windows.ExitProcess(uint32(*e.Code)) }

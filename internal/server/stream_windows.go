package server

import (
	"io"
	"os"
)

// openStream takes over the wall's handle.
func openStream(f *os.File) (io.ReadWriteCloser, error) { return f, nil }

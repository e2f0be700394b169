//go:build !unix

package selftest

import (
	"context"
	"errors"
	"runtime"
)

func run(context.Context, Options) (*Report, error) {
	return nil, errors.New("cannot run the selftest on " + runtime.GOOS + ": its tasks are shell scripts, and it kills deputy's parts by signals")
}

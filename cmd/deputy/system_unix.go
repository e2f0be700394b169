//go:build unix

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// exe ends the name of a program's file.
const exe = ""

// systemSocket is where the installed service listens.
const systemSocket = "/run/deputy/deputy.sock"

// ownSocket is where "deputy up" listens unless it is told otherwise: under
// XDG_RUNTIME_DIR, or where there is none (root, a container) beside its state.
func (a *app) ownSocket() string {
	if dir := a.getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "deputy", "deputy.sock")
	}
	return filepath.Join(a.stateHome(), "deputy.sock")
}

// stateHome is where "deputy up" keeps its state unless it is told otherwise.
func (a *app) stateHome() string {
	base := a.getenv("XDG_STATE_HOME")
	if base == "" {
		base = filepath.Join(cmp.Or(a.getenv("HOME"), "/"), ".local", "state")
	}
	return filepath.Join(base, "deputy")
}

// socketIn is where "deputy up --state DIR" listens.
func socketIn(state string) string { return filepath.Join(state, "deputy.sock") }

// foldersOf lists the folders that a socket needs.
func foldersOf(socket string) []string { return []string{filepath.Dir(socket)} }

// mine says whether path belongs to who asks, or is not there at all.
func (a *app) mine(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return owner(info) == a.uid
}

// owner gives the user id that a file belongs to.
func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// ownSID is for Windows.
func ownSID() string { return "" }

// become turns this process into another program: whoever started it can end it.
func become(program string, argv []string) error {
	err := syscall.Exec(program, argv, os.Environ())
	return fmt.Errorf("cannot execute %s: %w", program, err)
}

// signalNumber gives the number of a signal like "SIGKILL", or of a real-time one
// like "SIG37", which have no names; 0: there is none.
func signalNumber(name string) int {
	if n, err := strconv.ParseUint(strings.TrimPrefix(name, "SIG"), 10, 7); err == nil && strings.HasPrefix(name, "SIG") {
		return int(n)
	}
	return int(unix.SignalNum(name))
}

package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// exe ends the name of a program's file.
const exe = ".exe"

// systemSocket is the pipe on which the installed service listens.
const systemSocket = `\\.\pipe\deputy`

// ownSocket is where "deputy up" listens unless it is told otherwise.
func (a *app) ownSocket() string { return systemSocket + "-" + a.sid }

// stateHome is where "deputy up" keeps its state unless it is told otherwise.
func (a *app) stateHome() string {
	return filepath.Join(cmp.Or(a.getenv("LOCALAPPDATA"), a.getenv("USERPROFILE"), `C:\`), "deputy")
}

// socketIn is where "deputy up --state DIR" listens: a pipe is in no folder, so
// that its name follows from that of the folder.
func socketIn(state string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(state)))
	return systemSocket + "-" + hex.EncodeToString(sum[:4])
}

// foldersOf lists the folders that a socket needs.
func foldersOf(string) []string { return nil }

// mine says whether the pipe belongs to who asks, or is not there at all.
func (a *app) mine(name string) bool {
	wide, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return false
	}
	h, err := windows.CreateFile(wide, windows.READ_CONTROL, 0, nil, windows.OPEN_EXISTING, windows.SECURITY_SQOS_PRESENT|windows.SECURITY_IDENTIFICATION, 0)
	if err != nil {
		return errors.Is(err, windows.ERROR_FILE_NOT_FOUND)
	}
	defer windows.CloseHandle(h)
	sd, err := windows.GetSecurityInfo(h, windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return false
	}
	owner, _, err := sd.Owner()
	return err == nil && owner != nil && owner.String() == a.sid
}

// ownSID is whom this process runs as.
func ownSID() string {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return ""
	}
	return u.User.Sid.String()
}

// become runs another program in the place of this one, as far as Windows
// can: Ctrl-C reaches both, this one waits, and ends as the other does.
func become(program string, argv []string) error {
	signal.Ignore(os.Interrupt)
	p, err := os.StartProcess(program, argv, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return fmt.Errorf("cannot execute %s: %w", program, err)
	}
	state, err := p.Wait()
	if err != nil {
		return fmt.Errorf("cannot wait for %s: %w", program, err)
	}
	os.Exit(state.ExitCode())
	return nil
}

// signalNumber is 0: a process that ends by a signal is not known here.
func signalNumber(string) int { return 0 }

// owner gives -1: a file belongs to no number here.
func owner(fs.FileInfo) int { return -1 }

package site

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// Access of the installed service's folders, and of all in them: the system,
// administrators and deputyd's own account may do all; LocalService, which the
// server runs as, what follows.
const (
	ours        = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;%s)"
	serverReads = "(A;OICI;0x1200a9;;;LS)" // FILE_GENERIC_READ | FILE_GENERIC_EXECUTE
	serverOwns  = "(A;OICI;FA;;;LS)"
)

// MakeDirectories makes what may be missing. The pipe on which callers ask lies in none.
func (p Paths) MakeDirectories(a Access, _ string) error {
	for _, d := range []struct{ path, more string }{
		{p.State, ""}, {p.Journal(), ""}, {p.Tasks(), serverReads}, {p.History, serverOwns},
	} {
		if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
			return fmt.Errorf("cannot make %s: %w", d.path, err)
		}
		err := os.Mkdir(d.path, 0o700)
		if err == nil && !a.Inherited {
			err = protect(d.path, fmt.Sprintf(ours, SelfSID())+d.more)
		}
		if err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("cannot make %s: %w", d.path, err)
		}
	}
	return nil
}

// protect replaces the access list of a folder that was just made.
func protect(path, rights string) error {
	sd, err := windows.SecurityDescriptorFromString(rights)
	if err != nil {
		return err
	}
	list, _, err := sd.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
}

package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"

	"deputy/internal/monitor/manifest"
)

const systemSID = "S-1-5-18"

// Access of the installed service's folders, and of all in them: the system,
// administrators and deputyd's own account may do all; LocalService, which the
// server runs as, what follows.
const (
	ours        = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;%s)"
	serverReads = "(A;OICI;0x1200a9;;;LS)" // FILE_GENERIC_READ | FILE_GENERIC_EXECUTE
	serverOwns  = "(A;OICI;FA;;;LS)"
)

// makeDirectories makes what may be missing. Under "deputy up" who may do what
// there follows from the access list of the folder above.
func (m *Monitor) makeDirectories(*manifest.Policy) error {
	p := m.o.Paths
	for _, d := range []struct{ path, more string }{
		{p.State, ""}, {p.journal(), ""}, {p.tasks(), serverReads}, {p.History, serverOwns},
	} {
		if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
			return fmt.Errorf("cannot make %s: %w", d.path, err)
		}
		err := os.Mkdir(d.path, 0o700)
		if err == nil && !m.o.Up {
			err = protect(d.path, fmt.Sprintf(ours, selfSID())+d.more)
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

// syncDir has nothing to do: NTFS writes names in the order in which they were
// made (its log), and a folder cannot be flushed.
func syncDir(string) error { return nil }

package site

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// pipeName is the name of the installed service's, and how all others begin.
const pipeName = `\\.\pipe\deputy`

// Installed are those of the installed service.
func Installed() Paths {
	root := `C:\ProgramData\deputy`
	if data, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, windows.KF_FLAG_DEFAULT); err == nil {
		root = filepath.Join(data, "deputy")
	}
	return Paths{
		Config:  filepath.Join(root, "etc"),
		Modules: []string{filepath.Join(root, "etc", "modules.d")},
		State:   filepath.Join(root, "state"),
		History: filepath.Join(root, "server"),
		Socket:  pipeName,
		Notify:  filepath.Join(root, "state", "notify"),
	}
}

// socketUnder names a pipe, which is in no folder, by the folder of the state.
func socketUnder(state string) string {
	return pipeName + "-" + Paths{State: filepath.Clean(state)}.Instance()
}

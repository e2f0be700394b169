package policy

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"

	"deputy/internal/monitor/manifest"
)

// fixed is what every task's environment begins with: where Windows itself is,
// without which its own libraries do not load, and places to write to that are
// the system's.
func fixed(u *manifest.User) [][2]string {
	system, _ := windows.GetSystemDirectory()
	root, _ := windows.GetSystemWindowsDirectory()
	temporary := filepath.Join(root, "Temp")
	return [][2]string{
		{"SystemRoot", root}, {"windir", root}, {"SystemDrive", filepath.VolumeName(root)},
		{"ComSpec", filepath.Join(system, "cmd.exe")}, {"PATHEXT", ".COM;.EXE"},
		{"Path", system + ";" + root + ";" + filepath.Join(system, "Wbem")},
		{"ProgramData", os.Getenv("ProgramData")}, {"ProgramFiles", os.Getenv("ProgramFiles")},
		{"TEMP", temporary}, {"TMP", temporary}, {"USERNAME", u.Name},
	}
}

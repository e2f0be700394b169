package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"deputy/modules"
)

// writeExamples writes the configuration that ships inside to dir. programs is
// the folder of deputy's own.
func (a *app) writeExamples(dir, programs string) error {
	notes, err := modules.Write(dir, modules.Programs{
		Python:   python(),
		Portscan: beside(programs, "deputy-portscan"),
	})
	for _, note := range notes {
		fmt.Fprintln(a.err, "deputy:", note)
	}
	return err
}

// python prefers one where tasks look for programs: what stands first in my own
// PATH may need more of my environment than a task gets.
func python() string {
	for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
		if path := beside(dir, "python3"); filepath.Dir(path) == dir {
			return path
		}
	}
	return whole(exec.LookPath("python3"))
}

// beside looks for a program of deputy's in its folder, then in PATH; "" if
// there is none.
func beside(dir, name string) string {
	path := filepath.Join(dir, name)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path
	}
	return whole(exec.LookPath(name))
}

// whole gives the absolute path of what was found, "" if nothing was.
func whole(path string, err error) string {
	if err != nil {
		return ""
	}
	if path, err = filepath.Abs(path); err != nil {
		return ""
	}
	return path
}

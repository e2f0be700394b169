//go:build unix

// Package proof runs a program for a moment, that it may show that it can start. It is
// given little time, little to say, and nothing of ours.
package proof

import (
	"bytes"
	"deputy"
	"deputy/internal/wall"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	proofTime = 10 * time.Second // for one program to show that it can start
	proofSize = 64 << 10         // bytes that it may say
)

// Proved is what a program says of itself: "NAME VERSION, wall N".
type Proved struct{ Version, Wall string }

// Line is that by which deputyd says so.
func Line() string { return fmt.Sprintf("deputyd %s, wall %d", deputy.Version, wall.Version) }

// Of runs a program, as a user or as ours, and takes what it says of itself.
func Of(name, program string, argv []string, as *syscall.Credential) (Proved, error) {
	out, err := answerOf(program, argv, as)
	if err != nil {
		return Proved{}, fmt.Errorf("%s cannot start: %w", name, err)
	}
	out = strings.TrimSpace(out)
	out = out[strings.LastIndex(out, "\n")+1:] // before it there may be warnings
	said, wall, found := strings.Cut(out, ", wall ")
	version, named := strings.CutPrefix(said, name+" ")
	if !found || !named {
		return Proved{}, fmt.Errorf("what stands there is no %s that can be upgraded to: it says %.200q", name, out)
	}
	return Proved{version, wall}, nil
}

// answerOf runs a program to its end, as a user or as ours, and gives what it wrote.
func answerOf(program string, argv []string, as *syscall.Credential) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	p, err := os.StartProcess(program, argv, &os.ProcAttr{Dir: "/", Env: []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"},
		Files: []*os.File{nil, w, w}, Sys: &syscall.SysProcAttr{Setsid: true, Credential: as}})
	w.Close()
	if err != nil {
		return "", errors.Unwrap(err)
	}
	late := time.AfterFunc(proofTime, func() { p.Kill() })
	defer late.Stop()
	if err := r.SetReadDeadline(time.Now().Add(proofTime + time.Second)); err != nil {
		return "", err
	}
	text, _ := io.ReadAll(io.LimitReader(r, proofSize)) // as much as it says
	state, err := p.Wait()
	switch {
	case err != nil:
		return "", err
	case !late.Stop() && !state.Success():
		return "", fmt.Errorf("it did not show within %v that it can", proofTime)
	case !state.Success():
		return "", fmt.Errorf("%v: %s", state, bytes.TrimSpace(text))
	}
	return string(text), nil
}

package hosttest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/windows"

	"deputy"
	"deputy/internal/monitor/process"
)

func TestJobs(t *testing.T) {
	Run(t, System{
		Machine: func(t *testing.T) Machine {
			r := newReal(t)
			// Of its own for each sentence: a job lives until the last handle of its processes is closed.
			r.options.Instance = fmt.Sprint(os.Getpid(), "-", filepath.Base(t.Name()))
			m := &held{r, &shelf{held: map[string][]windows.Handle{}}}
			t.Cleanup(func() {
				if len(m.shelf.held) > 0 {
					t.Errorf("the keeper still holds %v", m.shelf.held)
				}
			})
			return m
		},
		Exits: []deputy.Exit{code(256), code(0xC0000005), code(0xFFFFFFFF)},
		// As TerminateJobObject gives it.
		Killed:   code(1),
		NoSignal: true,
		Unborn:   unbornOnWindows,
	})
}

// held is a machine whose keeper holds the handles of what lives from one host to the next.
type held struct {
	*real
	shelf *shelf
}

func (h *held) Open(events func(process.Event)) (Host, error) {
	h.options.Holder, h.options.Held = h.shelf, slices.Clone(h.shelf.told)
	return h.real.Open(events)
}

// shelf is a Holder in this very process.
type shelf struct {
	held map[string][]windows.Handle
	told []process.Attempt
}

func (s *shelf) Keep(a process.Attempt, handles ...uintptr) error {
	for _, h := range handles {
		var kept windows.Handle
		self := windows.CurrentProcess()
		if err := windows.DuplicateHandle(self, windows.Handle(h), self, &kept, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
			return err
		}
		s.held[a.Leaf] = append(s.held[a.Leaf], kept)
	}
	s.told = append(s.told, a)
	return nil
}

func (s *shelf) Forget(leaf string) error {
	for _, h := range s.held[leaf] {
		_ = windows.CloseHandle(h)
	}
	delete(s.held, leaf)
	s.told = slices.DeleteFunc(s.told, func(a process.Attempt) bool { return a.Leaf == leaf })
	return nil
}

func unbornOnWindows(t *testing.T) map[string]Unborn {
	dir := t.TempDir()
	for name, text := range map[string]string{"text.exe": "not a program", "batch.bat": "exit 0", "batch.CMD": "exit 0"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	table := map[string]Unborn{}
	for name, kind := range map[string]error{
		"none.exe": process.ErrNotFound, `none\none.exe`: process.ErrNotFound,
		"text.exe": process.ErrNotExecutable, "batch.bat": process.ErrNotExecutable, "batch.CMD": process.ErrNotExecutable,
		"batch.bat.": process.ErrNotExecutable, "batch.bat ": process.ErrNotExecutable,
	} {
		table[name] = Unborn{Spec: process.Spec{Argv: []string{filepath.Join(dir, name)}}, Kind: kind, Text: "cannot start " + filepath.Join(dir, name) + ": "}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none")
	table["wrong dir"] = Unborn{Spec: process.Spec{Argv: []string{self}, Dir: none}, Kind: process.ErrNotStarted,
		Text: fmt.Sprintf("cannot start %s: its directory %s: ", self, none)}
	return table
}

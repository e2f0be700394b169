//go:build linux

package monitortest

import (
	"fmt"
	"os"
	"path/filepath"

	"deputy"
)

// Accept records a task of a caller and gives its id.
func (m *Monitor) Accept(c deputy.Caller, module, action string, params deputy.Params) string {
	id := fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", m.tasks.Add(1))
	m.Record(deputy.Event{
		Type: deputy.Accepted, Caller: c, Module: module, Action: action, Rule: "site.toml:1", Policy: "d1gest",
		Key:   &deputy.Idempotency{Key: "k-" + id, Digest: "d"},
		Tasks: []deputy.TaskRecord{{ID: id, Params: params, Run: []byte(`{"secret":"how"}`)}},
	})
	return id
}

// Join records that another caller asked for a task.
func (m *Monitor) Join(id string, c deputy.Caller, module, action string) {
	m.Record(deputy.Event{Type: deputy.Accepted, Caller: c, Module: module, Action: action,
		Tasks: []deputy.TaskRecord{{ID: id, Joined: true}}})
}

// Start records that a task was started, and makes its files.
func (m *Monitor) Start(id string) {
	dir := filepath.Join(m.Greeting.TasksDir, id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		m.t.Error(err)
	}
	m.Write(id, "stdout", "")
	m.Write(id, "stderr", "")
	m.Record(deputy.Event{Type: deputy.Started, Task: id, Attempt: 1, PID: 1})
}

// Write appends to a task's output.
func (m *Monitor) Write(id, stream, text string) {
	f, err := os.OpenFile(filepath.Join(m.Greeting.TasksDir, id, stream), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Error(err)
		return
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		m.t.Error(err)
	}
}

// Gap takes [from, to) of a task's output, as the cap does: told, then punched.
func (m *Monitor) Gap(id, stream string, from, to int64) {
	path := filepath.Join(m.Greeting.TasksDir, id, stream)
	fresh := path + ".gap.new"
	if err := os.Symlink(fmt.Sprintf("%d %d", from, to), fresh); err != nil {
		m.t.Error(err)
	}
	if err := os.Rename(fresh, path+".gap"); err != nil {
		m.t.Error(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		m.t.Error(err)
		return
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, to-from), from); err != nil {
		m.t.Error(err)
	}
}

// End records a task's end, with the sizes of its files.
func (m *Monitor) End(id string, state deputy.State) {
	e := deputy.Event{Type: deputy.Ended, Task: id, Attempt: 1, State: state}
	code := 0
	if state != deputy.Succeeded {
		code, e.Reason = 1, "exit code 1"
	}
	e.Exit = &deputy.Exit{Code: &code}
	e.Out, e.Err = m.size(id, "stdout"), m.size(id, "stderr")
	m.Record(e)
}

func (m *Monitor) size(id, stream string) *deputy.Output {
	path := filepath.Join(m.Greeting.TasksDir, id, stream)
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	out := &deputy.Output{Bytes: info.Size()}
	if text, err := os.Readlink(path + ".gap"); err == nil {
		out.Gap = &[2]int64{}
		if _, err := fmt.Sscan(text, &out.Gap[0], &out.Gap[1]); err != nil {
			m.t.Error(err)
		}
	}
	return out
}

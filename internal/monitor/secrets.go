package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"deputy/internal/monitor/durable"
	"deputy/internal/output"
)

// secretsFile holds the sensitive values of a task, in its directory.
const secretsFile = "secrets"

// writeSecrets puts the sensitive values of tasks to be, by id, where only root can
// read them, until the task ends. First all are written, then all are synced: that
// costs about as much as one.
func (m *Monitor) writeSecrets(tasks map[string]map[string]any) error {
	var dirs []string
	write := func(id string, secrets map[string]any) error {
		text, err := json.Marshal(secrets)
		if err != nil {
			return err
		}
		dir := m.o.Paths.Task(id)
		dirs = append(dirs, dir)
		return errors.Join(output.MakeFolder(dir, m.warden.User().GID), os.WriteFile(filepath.Join(dir, secretsFile), text, 0o600))
	}
	var err error
	for id, secrets := range tasks {
		if err == nil {
			err = write(id, secrets)
		}
	}
	for _, dir := range dirs {
		if err == nil {
			err = errors.Join(durable.File(filepath.Join(dir, secretsFile)), durable.Dir(dir))
		}
	}
	if err == nil {
		err = durable.Dir(m.o.Paths.Tasks())
	}
	if err != nil {
		return fmt.Errorf("cannot keep the sensitive values: %w", err)
	}
	return nil
}

// readSecrets gives the sensitive values of a task.
func (m *Monitor) readSecrets(id string) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(m.o.Paths.Task(id), secretsFile))
	if err != nil {
		return nil, fmt.Errorf("cannot read the sensitive values: %w", err)
	}
	var secrets map[string]any
	if err := json.Unmarshal(text, &secrets); err != nil {
		return nil, fmt.Errorf("cannot read the sensitive values: %w", err)
	}
	return secrets, nil
}

// sweepSecrets drops what a crash left: secrets of requests that were never
// accepted, and of tasks that have ended. It has a goroutine of its own.
func (m *Monitor) sweepSecrets() {
	entries, _ := os.ReadDir(m.o.Paths.Tasks()) // before the question: whatever comes later is none of ours
	live := make(chan map[string]bool, 1)
	m.post(func() { live <- m.liveIDs() })
	select {
	case known := <-live:
		for _, entry := range entries {
			dir := m.o.Paths.Task(entry.Name())
			if !known[entry.Name()] && os.Remove(filepath.Join(dir, secretsFile)) == nil {
				os.Remove(dir) // works on an empty one alone: of a task that never was
			}
		}
	case <-m.loop.Over():
	}
}

// liveIDs gives the ids of the tasks that live, and of those that are about to.
func (m *Monitor) liveIDs() map[string]bool {
	ids := maps.Clone(m.vault.ids)
	for id := range m.state.Tasks {
		ids[id] = true
	}
	return ids
}

package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"deputy/internal/monitor/durable"
	"deputy/internal/output"
)

// A sensitive value lies in one file that root alone can read, from before its task is
// accepted until the task has ended, and nowhere else on the disk. What a crash leaves
// of it goes with the next start.

// secretsFile holds the sensitive values of a task, in its directory.
const secretsFile = "secrets"

// write puts the sensitive values of tasks to be, by id, where only root can
// read them, until the task ends. First all are written, then all are synced: that
// costs about as much as one.
func (v *Vault) write(tasks map[string]map[string]any) error {
	var dirs []string
	write := func(id string, secrets map[string]any) error {
		text, err := json.Marshal(secrets)
		if err != nil {
			return err
		}
		dir := v.paths.Task(id)
		dirs = append(dirs, dir)
		return errors.Join(output.MakeFolder(dir, v.gid), os.WriteFile(filepath.Join(dir, secretsFile), text, 0o600))
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
		err = durable.Dir(v.paths.Tasks())
	}
	if err != nil {
		return fmt.Errorf("cannot keep the sensitive values: %w", err)
	}
	return nil
}

// Read gives the sensitive values of a task.
func (v *Vault) Read(id string) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(v.paths.Task(id), secretsFile))
	if err != nil {
		return nil, fmt.Errorf("cannot read the sensitive values: %w", err)
	}
	var secrets map[string]any
	if err := json.Unmarshal(text, &secrets); err != nil {
		return nil, fmt.Errorf("cannot read the sensitive values: %w", err)
	}
	return secrets, nil
}

// Sweep drops what a crash left: secrets of requests that were never
// accepted, and of tasks that have ended. ids gives the tasks
// that live, and is called by the loop. It has a goroutine of its own.
func (v *Vault) Sweep(ids func() map[string]bool) {
	entries, _ := os.ReadDir(v.paths.Tasks()) // before the question: whatever comes later is none of ours
	var known map[string]bool
	if !v.loop.Do(func() { known = ids() }) {
		return
	}
	for _, entry := range entries {
		dir := v.paths.Task(entry.Name())
		if !known[entry.Name()] && Forget(dir) == nil {
			os.Remove(dir) // works on an empty one alone: of a task that never was
		}
	}
}

// Forget removes the sensitive values from a task's directory.
func Forget(dir string) error { return os.Remove(filepath.Join(dir, secretsFile)) }

package monitor

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"deputy/internal/output"
)

// openSeal reads, or makes, the key of this installation, and gives what shows a
// text without telling it.
func openSeal(path string) (func(string) string, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		rand.Read(key)
		err = writeSynced(path, key)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the installation's key: %w", err)
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("cannot use the installation's key: %s has %d bytes, not 32; restore it from a back-up, or delete it if no task with sensitive values lives", path, len(key))
	}
	return func(value string) string {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(value))
		return "hmac-sha256:" + hex.EncodeToString(mac.Sum(nil))
	}, nil
}

// sealer gives the form in which the sensitive values of one task are shown. It is
// salted with the task's id and the param's name: equal values show no equal seals,
// and whoever has the value and the key can tell that it was this one.
func (m *Monitor) sealer(task string) func(param, value string) string {
	return func(param, value string) string { return m.seal(task + "\x00" + param + "\x00" + value) }
}

// writeSynced makes a file of mode 0600 that is on the disk, whole, with its
// name, when this returns.
func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

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
		dir := m.o.Paths.task(id)
		dirs = append(dirs, dir)
		return errors.Join(output.MakeFolder(dir, m.serverGID), os.WriteFile(filepath.Join(dir, secretsFile), text, 0o600))
	}
	var err error
	for id, secrets := range tasks {
		if err == nil {
			err = write(id, secrets)
		}
	}
	for _, dir := range dirs {
		if err == nil {
			err = errors.Join(syncFile(filepath.Join(dir, secretsFile)), syncDir(dir))
		}
	}
	if err == nil {
		err = syncDir(m.o.Paths.tasks())
	}
	if err != nil {
		return fmt.Errorf("cannot keep the sensitive values: %w", err)
	}
	return nil
}

// syncFile syncs a file that was written and closed.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// readSecrets gives the sensitive values of a task.
func (m *Monitor) readSecrets(id string) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(m.o.Paths.task(id), secretsFile))
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
	entries, _ := os.ReadDir(m.o.Paths.tasks()) // before the question: whatever comes later is none of ours
	live := make(chan map[string]bool, 1)
	m.post(func() { live <- m.liveIDs() })
	select {
	case known := <-live:
		for _, entry := range entries {
			dir := m.o.Paths.task(entry.Name())
			if !known[entry.Name()] && os.Remove(filepath.Join(dir, secretsFile)) == nil {
				os.Remove(dir) // works on an empty one alone: of a task that never was
			}
		}
	case <-m.over:
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

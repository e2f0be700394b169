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
	"os"
	"path/filepath"

	"deputy"
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

// writeSecrets puts the sensitive values of new tasks, by id, where only root
// can read them, until the task ends.
func (m *Monitor) writeSecrets(tasks map[string]map[string]any) error {
	for id, secrets := range tasks {
		text, err := json.Marshal(secrets)
		if err != nil {
			return fmt.Errorf("cannot keep the sensitive values: %w", err)
		}
		dir := m.o.Paths.task(id)
		if err := errors.Join(os.Mkdir(dir, 0o700), writeSynced(filepath.Join(dir, "secrets"), text), syncDir(m.o.Paths.tasks())); err != nil {
			return fmt.Errorf("cannot keep the sensitive values: %w", err)
		}
	}
	return nil
}

// readSecrets gives the sensitive values of a task.
func (m *Monitor) readSecrets(id string) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(m.o.Paths.task(id), "secrets"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the sensitive values: %w", err)
	}
	var secrets map[string]any
	if err := json.Unmarshal(text, &secrets); err != nil {
		return nil, fmt.Errorf("cannot read the sensitive values: %w", err)
	}
	return secrets, nil
}

// dropFiles removes what was made for tasks that never came to be.
func (m *Monitor) dropFiles(records []deputy.TaskRecord) {
	for _, r := range records {
		if !r.Joined {
			os.RemoveAll(m.o.Paths.task(r.ID))
		}
	}
}

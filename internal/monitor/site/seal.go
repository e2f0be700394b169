package site

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"deputy/internal/monitor/durable"
)

// Seal shows a text without telling it: the same text of the same installation always
// looks the same, and whoever has the text and the installation's key can tell that it
// was this one.
type Seal func(text string) string

const sealKeySize = 32

// OpenSeal reads the key of this installation, or makes it. fresh says that there was
// none: no monitor was here before.
func (p Paths) OpenSeal() (seal Seal, fresh bool, err error) {
	path := filepath.Join(p.State, "installation.key")
	key, err := os.ReadFile(path)
	if fresh = errors.Is(err, fs.ErrNotExist); fresh {
		key = make([]byte, sealKeySize)
		rand.Read(key)
		err = durable.WriteFile(path, key)
	}
	if err != nil {
		return nil, fresh, fmt.Errorf("cannot use the installation's key: %w", err)
	}
	if len(key) != sealKeySize {
		return nil, fresh, fmt.Errorf("cannot use the installation's key: %s has %d bytes, not %d; restore it from a back-up, or delete it if no task with sensitive values lives", path, len(key), sealKeySize)
	}
	return func(text string) string {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return "hmac-sha256:" + hex.EncodeToString(mac.Sum(nil))
	}, fresh, nil
}

// OfTask gives the form in which the sensitive values of one task are shown. It is
// salted with the task's id and the param's name, so that equal values show no equal
// seals.
func (s Seal) OfTask(task string) func(param, value string) string {
	return func(param, value string) string { return s(task + "\x00" + param + "\x00" + value) }
}

package process

import (
	"fmt"
	"time"
)

// endWithin bounds a Close's wait for what it killed.
const endWithin = 5 * time.Second

// KillAll kills every attempt of a host until live, which is asked every so often,
// gives nil: nothing lives, and both events of each are told.
func KillAll(every time.Duration, live func() (leaves []string), kill func(leaf string) (killed int, err error)) error {
	for end := time.Now().Add(endWithin); ; time.Sleep(every) {
		leaves := live()
		if leaves == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("cannot end all tasks: %d still live %v after they were killed", len(leaves), endWithin)
		}
		for _, leaf := range leaves {
			if _, err := kill(leaf); err != nil {
				return err
			}
		}
	}
}

// killAll is KillAll of this host.
func (h *Host) killAll(every time.Duration) error {
	return KillAll(every, func() (leaves []string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for leaf := range h.attempts {
			leaves = append(leaves, leaf)
		}
		return leaves
	}, h.Kill)
}

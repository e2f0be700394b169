package journal

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// awaitLock takes the lock of f, for which it waits while another has it: take then
// gives held. Our PID stands in the file, for messages only. On an error f is closed.
func awaitLock(f *os.File, patience time.Duration, held error, take func() error) (*os.File, error) {
	err := take()
	for end := time.Now().Add(patience); errors.Is(err, held) && time.Now().Before(end); err = take() {
		time.Sleep(patience / 100)
	}
	if errors.Is(err, held) {
		pid, _ := os.ReadFile(f.Name()) // for the message only
		err = fmt.Errorf("another deputyd holds it (pid %s)", strings.TrimSpace(string(pid)))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	// In place and of one width: a full disk must not keep a monitor from its tasks.
	_, _ = f.WriteAt(fmt.Appendf(nil, "%-10d\n", os.Getpid()), 0)
	return f, nil
}

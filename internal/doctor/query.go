package doctor

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// queryTime is how long a program of the system's may take to answer.
const queryTime = 10 * time.Second

// Query runs a program of the system's, like systemctl, and gives what it says.
func Query(ctx context.Context, command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot run %s: %w", strings.Join(command[:min(2, len(command))], " "), err)
	}
	return string(text), nil
}

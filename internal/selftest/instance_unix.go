//go:build unix

package selftest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"deputy"
	"deputy/client"
	"deputy/internal/rootonly"
)

// instance is a deputy that only this run knows.
type instance struct {
	dir    string
	daemon string
	c      *client.Client
	proof  string
	keeper *process
}

// module is what it may be asked for. ACT is the script, DIR its folder.
const module = `
[allow]
users = ["uid:UID"]
[action.run]
command = ["/bin/sh", "ACT", "run", "{code}", "{seconds}"]
params.code = { type = "integer", minimum = 0, maximum = 99 }
params.seconds = { type = "string", pattern = "^[0-9.]+$" }
[action.tree]
command = ["/bin/sh", "ACT", "tree", "{count}"]
params.count = { type = "integer", minimum = 1, maximum = 5000 }
grace = "100ms"
[action.flood]
command = ["/bin/sh", "ACT", "flood", "{lines}"]
params.lines = { type = "integer", minimum = 1, maximum = 100000000 }
output.cap = "1MiB"
[action.alone]
command = ["/bin/sh", "ACT", "run", "0", "0.5"]
lock = "{name}"
params.name = { type = "string", maxLength = 40 }
`

// limits let one caller ask for much, and its live tasks be few enough for a
// small machine.
const limits = `
listen.line = []
[defaults]
per_caller = { live = 400, rate = "100000/s" }
`

// act is what a task does. Each writes that it started where the run can read
// it, whatever became of deputy.
const act = `dir=${0%/*}
echo "$DEPUTY_TASK $DEPUTY_ATTEMPT" >>"$dir/starts"
case $1 in
run)
	sleep "$3"
	exit "$2"
	;;
tree) # orphans that ignore the stop signal; all hold the pipe open
	trap '' TERM
	exec 3>"$dir/alive"
	i=0
	while [ "$i" -lt "$2" ]; do
		(sleep 600 &)
		i=$((i + 1))
	done
	echo ready >&3
	sleep 600
	;;
flood)
	exec awk -v n="$2" 'BEGIN { for (i = 1; i <= n; i++) printf "%09d\n", i }'
	;;
esac
`

// begin makes the directory and starts the daemon in it.
func begin(ctx context.Context, daemon string) (*instance, error) {
	dir, err := os.MkdirTemp("", "deputy-") // short: a socket's path has at most 107 bytes
	if err != nil {
		return nil, fmt.Errorf("cannot make a directory: %w", err)
	}
	if err := rootonly.Check(dir, 0); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	in := &instance{dir: dir, daemon: daemon, c: client.New(filepath.Join(dir, "state", "deputy.sock"))}
	fill := strings.NewReplacer("UID", fmt.Sprint(os.Getuid()), "ACT", in.path("act"))
	for name, text := range map[string]string{
		"act": act, "starts": "", "config/deputy.toml": limits, "config/modules.d/selftest.toml": fill.Replace(module), "state/.keep": "",
	} {
		if err = os.MkdirAll(filepath.Dir(in.path(name)), 0o700); err == nil {
			err = os.WriteFile(in.path(name), []byte(text), 0o600)
		}
		if err != nil {
			in.remove()
			return nil, fmt.Errorf("cannot write its configuration: %w", err)
		}
	}
	if err = in.start(ctx); err != nil {
		if in.keeper != nil && !in.keeper.over() {
			err = errors.Join(err, in.end())
		}
		err = fmt.Errorf("%w%s", err, in.said())
		in.remove()
		return nil, err
	}
	return in, nil
}

func (in *instance) path(name string) string { return filepath.Join(in.dir, name) }

// restartTime is how long a daemon may need to follow one that was killed.
const restartTime = 20 * time.Second

// start starts the daemon and waits until it answers. One that follows another
// is started again if it ends: its predecessor may still be on its way out of the
// journal.
func (in *instance) start(ctx context.Context) error {
	first := in.keeper == nil
	for end := time.Now().Add(restartTime); ; {
		if in.keeper != nil && in.keeper.over() && (first || time.Now().After(end)) {
			return errors.New("the daemon ended instead of answering")
		}
		if in.keeper == nil || in.keeper.over() {
			var err error
			if in.keeper, err = launch(in.daemon, in.path("log"), "--up", "--config", in.path("config"), "--state", in.path("state")); err != nil {
				return err
			}
		}
		limited, cancel := context.WithTimeout(ctx, time.Second)
		h, err := client.New(in.path("state/deputy.sock")).Health(limited)
		cancel()
		if err == nil {
			in.proof = h.Proof
			return nil
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("the daemon does not answer: %w", err)
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// endTime is how long the daemon may take to stop every task and end.
const endTime = 30 * time.Second

// end stops the daemon, and with it every task.
func (in *instance) end() error {
	if in.keeper == nil {
		return nil
	}
	if in.keeper.over() { // the next one ends what it has left
		ctx, cancel := context.WithTimeout(context.Background(), endTime)
		defer cancel()
		if err := in.start(ctx); err != nil {
			return err
		}
	}
	k := in.keeper
	in.keeper = nil
	k.signal(syscall.SIGTERM)
	select {
	case <-k.ended:
		return k.err
	case <-time.After(endTime):
		k.signal(syscall.SIGKILL)
		<-k.ended
		return fmt.Errorf("the daemon did not end within %v", endTime)
	}
}

func (in *instance) remove() { os.RemoveAll(in.dir) }

// said gives the end of what the daemon has said, for who has to find out why.
func (in *instance) said() string {
	text, _ := os.ReadFile(in.path("log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "\nthe daemon's last words:\n  " + strings.Join(lines[max(0, len(lines)-15):], "\n  ")
}

// events reads the journal as it stands on the disk.
func (in *instance) events() ([]deputy.Event, error) {
	files, err := filepath.Glob(in.path("state/journal/*.jsonl"))
	if err != nil {
		return nil, err
	}
	var list []deputy.Event
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read the journal: %w", err)
		}
		for line := range bytes.Lines(text) {
			var e deputy.Event
			if err := json.Unmarshal(line, &e); err == nil { // a torn last line is no record
				list = append(list, e)
			}
		}
	}
	return list, nil
}

// monitor gives the PID of the monitor that began last.
func (in *instance) monitor() (int, error) {
	events, err := in.events()
	pid := 0
	for _, e := range events {
		if e.Type == deputy.MonitorStart {
			pid = e.PID
		}
	}
	if err == nil && pid == 0 {
		err = errors.New("the journal names no monitor")
	}
	return pid, err
}

//go:build linux

package history

import (
	"encoding/json"
	"testing"

	"deputy"
)

// A task has an attempt from its first start on, and that tells what its records do.
func TestAnAttemptIsWhatItsRecordsTell(t *testing.T) {
	code, reason := 3, "it exited with code 3"
	at := func(text string) *deputy.Time {
		var when deputy.Time
		if err := json.Unmarshal([]byte(`"`+text+`"`), &when); err != nil {
			t.Fatal(err)
		}
		return &when
	}
	for name, test := range map[string]struct {
		of   deputy.Task
		want string
	}{
		"it waits":       {deputy.Task{State: deputy.Queued}, `[]`},
		"it has expired": {deputy.Task{State: deputy.Expired, Ended: at("2026-01-02T03:04:05.000Z")}, `[]`},
		"it runs": {deputy.Task{State: deputy.Running, Attempt: 1, Started: at("2026-01-02T03:04:05.000Z")},
			`[{"attempt":1,"started":"2026-01-02T03:04:05.000Z","ended":null,"exit":null,"reason":null,"stdout":[0,0],"stderr":[0,0]}]`},
		"it has ended": {deputy.Task{State: deputy.Failed, Attempt: 2, Started: at("2026-01-02T03:04:05.000Z"), Ended: at("2026-01-02T03:04:06.000Z"),
			Exit: &deputy.Exit{Code: &code}, Reason: &reason, StdoutBytes: 7, StderrBytes: 9},
			`[{"attempt":2,"started":"2026-01-02T03:04:05.000Z","ended":"2026-01-02T03:04:06.000Z","exit":{"code":3},"reason":"it exited with code 3","stdout":[0,7],"stderr":[0,9]}]`},
	} {
		task := task{Task: test.of}
		got, err := json.Marshal(task.public().Attempts)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, test.want)
		}
	}
}

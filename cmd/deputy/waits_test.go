package main

import (
	"testing"
	"time"

	"deputy"
)

func TestAWaitIsSaidInWords(t *testing.T) {
	at := func(d time.Duration) *deputy.Time { return &deputy.Time{Time: now.Add(d)} }
	holder := id(0x39e8184c)
	for want, w := range map[string]*deputy.Waiting{
		"": nil,
		"waits for its lock, held by …39e8184c":     {For: deputy.ForLock, Task: &holder},
		"waits for its lock":                        {For: deputy.ForLock, Until: at(time.Hour)},
		"1st in apt":                                {For: deputy.ForQueue, Queue: ptr("apt"), Position: ptr(0)},
		"3rd in apt":                                {For: deputy.ForQueue, Queue: ptr("apt"), Position: ptr(2)},
		"11th in apt":                               {For: deputy.ForQueue, Queue: ptr("apt"), Position: ptr(10)},
		"22nd in apt":                               {For: deputy.ForQueue, Queue: ptr("apt"), Position: ptr(21)},
		"tries again in 2 min":                      {For: deputy.ForRetry, Until: at(2 * time.Minute)},
		"waits for approval by ops until 14:05":     {For: deputy.ForApproval, Until: &deputy.Time{Time: time.Date(2026, 1, 2, 14, 5, 0, 0, time.UTC)}},
		"waits for more of its kind, starts in 3 s": {For: deputy.ForDebounce, Until: at(3 * time.Second)},
		"waits for drain":                           {For: deputy.ForDrain},
		"waits for what comes later":                {For: "what comes later"},
	} {
		waits := &deputy.Task{Waiting: w, Approval: &deputy.Approval{By: []deputy.Approvers{{Groups: []string{"ops"}}}}}
		if got := waitWords(waits, now); got != want {
			t.Errorf("%+v: %q, want %q", w, got, want)
		}
	}
}

// What is there is shown, and nothing else.
func TestShowPrintsWhatIsThere(t *testing.T) {
	task := task(1, deputy.Failed, nil)
	bare := len(taskLines(task, now))
	first, second := &deputy.Time{Time: now.Add(-time.Minute)}, &deputy.Time{Time: now}
	task.Attempts = []deputy.Attempt{
		{Attempt: 1, Started: first, Ended: second, Exit: &deputy.Exit{Code: ptr(75)}, Reason: ptr("it exited with code 75")},
		{Attempt: 2, Started: second},
	}
	task.Waiting = &deputy.Waiting{For: deputy.ForRetry}
	task.Result = deputy.Params{"n": deputy.Number("12345678901234567890")}
	task.Usage = &deputy.Usage{CPUMS: ptr(int64(3)), OOM: ptr("limit")}
	task.Confirm = &deputy.Confirm{Until: *second, Outcome: ptr("revert_failed"), Task: ptr("x")}
	task.Approval = &deputy.Approval{Until: *second, Given: []deputy.Approved{{Caller: "key:panel", EndUser: ptr("alice")}}}
	task.AgainOf, task.Why, task.Traceparent = ptr("old"), ptr("it hangs"), ptr("00-a-b-01")
	shown := map[string]string{}
	lines := taskLines(task, now)
	for _, line := range lines {
		shown[line[0]] = line[1]
	}
	for name, want := range map[string]string{
		"attempt 1": "it exited with code 75, started 2026-01-02T03:03:05.000Z", "attempt 2": "lives, started 2026-01-02T03:04:05.000Z",
		"waiting": "tries again", "result": `{"n":12345678901234567890}`, "usage": "3 ms of processor time, out of memory: its own limit",
		"confirm": "revert failed, by task x", "approval": "needed until 2026-01-02T03:04:05.000Z; given by key=panel for alice",
		"again of": "old", "why": "it hangs", "trace": "00-a-b-01",
	} {
		if shown[name] != want {
			t.Errorf("%s: %q, want %q", name, shown[name], want)
		}
	}
	if len(lines) != bare+10 {
		t.Errorf("%d lines are %d more than for a bare task: %v", len(lines), len(lines)-bare, lines)
	}
}

package history

import "deputy"

// attempts says what is known of each start of a task. Its records tell of the newest
// one alone: there is one, or none before the first start.
func (t *task) attempts() []deputy.Attempt {
	if t.Attempt == 0 {
		return []deputy.Attempt{}
	}
	return []deputy.Attempt{{
		Attempt: t.Attempt, Started: t.Started, Ended: t.Ended, Exit: t.Exit, Reason: t.Reason,
		Stdout: [2]int64{0, t.StdoutBytes}, Stderr: [2]int64{0, t.StderrBytes},
	}}
}

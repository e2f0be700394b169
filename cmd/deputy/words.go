package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"deputy"
)

// taskStatus is the exit status that stands for a task's end, as a shell's
// would for a command.
func taskStatus(t *deputy.Task) int {
	switch t.State {
	case deputy.Stopped:
		return statusStopped
	case deputy.TimedOut:
		return statusTimedOut
	case deputy.Expired, deputy.Rejected: // nothing started
		return statusRefused
	case deputy.Succeeded, deputy.Failed:
		return exitStatusOf(t)
	}
	return statusUnknown
}

// exitStatusOf is the task's own exit code. A failure is never 0, also where
// the action declares 0 to be one.
func exitStatusOf(t *deputy.Task) int {
	switch {
	case t.Exit == nil && t.State == deputy.Succeeded:
		return 0
	case t.Exit == nil || t.Exit.Unknown != "":
		return statusUnknown
	case t.Exit.Signal != "":
		if n := signalNumber(t.Exit.Signal); n > 0 {
			return 128 + n
		}
		return statusUnknown
	case t.Exit.Code == nil:
		return statusUnknown
	case *t.Exit.Code == 0 && t.State == deputy.Failed:
		return statusFailed
	}
	return *t.Exit.Code & 0xff
}

// ended says how a task ended: "failed: it exited with code 3".
func ended(t *deputy.Task) string {
	text := stateWords(t.State)
	switch {
	case t.Reason != nil && *t.Reason != "":
		text += ": " + *t.Reason
	case t.Exit != nil && t.State == deputy.Failed:
		text += ": " + exitWords(t.Exit)
	}
	return text
}

func stateWords(s deputy.State) string { return strings.ReplaceAll(string(s), "_", " ") }

// receiptWords says what a stop did and what its proof is.
func receiptWords(r *deputy.Receipt) string {
	var did []string
	if r.Signalled {
		did = append(did, "stop signal sent")
	}
	if r.Killed > 0 {
		did = append(did, fmt.Sprintf("%d killed", r.Killed))
	}
	if r.Empty {
		did = append(did, "nothing lives (proof: "+r.Proof+")")
	} else {
		did = append(did, fmt.Sprintf("%d still live: %s", len(r.Survivors), survivors(r.Survivors)))
	}
	return strings.Join(append(did, took(time.Duration(r.TookMS)*time.Millisecond)), ", ")
}

// leftoverWords says what a task left behind when its first process had ended.
func leftoverWords(n int) string {
	if n == 1 {
		return "1 process outlived the first one and was killed"
	}
	return fmt.Sprintf("%d processes outlived the first one and were killed", n)
}

func survivors(list []deputy.Survivor) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = fmt.Sprintf("%d (%s, state %s)", s.PID, printable(s.Comm), s.State)
	}
	return strings.Join(words, ", ")
}

// took writes a duration for a person: "41 ms", "2.3 s", "5 min", "3 h", "2 d".
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strconv.FormatFloat(math.Round(d.Seconds()*10)/10, 'f', -1, 64) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// when writes an instant as its age for a person, and in full for a script.
func (a *app) when(t deputy.Time) string {
	if !a.outTerm {
		return t.String()
	}
	return took(max(0, a.now().Sub(t.Time))) + " ago"
}

// progressWords writes "42% counting", or "" where nothing was told.
func progressWords(p *deputy.Progress) string {
	if p == nil {
		return ""
	}
	var words []string
	if p.Percent != nil {
		words = append(words, strconv.Itoa(int(*p.Percent))+"%")
	}
	if p.Message != nil && *p.Message != "" {
		words = append(words, printable(*p.Message))
	}
	return strings.Join(words, " ")
}

// paramWords writes params as one would type them, in the order of their names.
func paramWords(params map[string]any) string {
	words := make([]string, 0, len(params))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		words = append(words, name+"="+valueWords(params[name]))
	}
	return strings.Join(words, " ")
}

// valueWords writes a value without quotes where it is clear without.
func valueWords(v any) string {
	if s, ok := v.(string); ok && s != "" && !strings.ContainsAny(s, " \t\n\"'\\=") {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// callerWords writes a caller as in the daemon's log: "uid=33(panel)", "key=panel".
func callerWords(c deputy.Caller) string {
	text := strings.Replace(string(c), ":", "=", 1)
	uid, ok := c.UID()
	if !ok {
		return text
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return text
	}
	return text + "(" + u.Username + ")"
}

package admission

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"deputy"
	"deputy/internal/monitor/policy"
)

// A line of the log is one line, whatever a caller sends: a value stands in quotes
// unless it cannot be taken for anything else. A sensitive value is never in it.

// logAccepted writes the one line of an accepted request, like
//
//	uid=33(panel) end_user=alice service/restart unit=nginx.service allowed by site.toml:7 task=…39e8184c
func (ad *Admission) logAccepted(e *deputy.Event, plan *policy.Plan, ids []string) {
	var line strings.Builder
	id := policy.Identity{Caller: e.Caller, EndUser: e.EndUser}
	id.Name = ad.Callers.Name(e.Caller)
	fmt.Fprintf(&line, "%s %s/%s", Label(id), e.Module, e.Action)
	if len(plan.Items) == 1 {
		item := &plan.Items[0]
		params := item.Sealed(func(string, string) string { return "sensitive" })
		names := make([]string, 0, len(params))
		for name := range params {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Fprintf(&line, " %s=%.200s", name, plainOrQuoted(params[name]))
		}
	}
	fmt.Fprintf(&line, " allowed by %s", e.Rule)
	for i, task := range ids {
		if i == 3 {
			fmt.Fprintf(&line, " and %d more", len(ids)-i)
			break
		}
		fmt.Fprintf(&line, " task=…%s", task[max(0, len(task)-8):])
	}
	ad.Log.Print(line.String())
}

// plainOrQuoted writes a value for the log. Only what cannot be taken for
// anything else stands without quotes: a value must not forge a line.
func plainOrQuoted(v any) string {
	text, isText := v.(string)
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-/:@+", c)
	}
	if isText && text != "" && strings.IndexFunc(text, func(c rune) bool { return !plain(c) }) < 0 {
		return text
	}
	quoted, _ := json.Marshal(v) // a checked value is plain JSON
	return string(quoted)
}

// Label names a caller in the log: "uid=33(www-data) end_user=alice".
func Label(id policy.Identity) string {
	label := strings.Replace(string(id.Caller), ":", "=", 1)
	if id.Name != "" {
		label += "(" + id.Name + ")"
	}
	if id.EndUser != "" {
		label += " end_user=" + strconv.Quote(id.EndUser)
	}
	return label
}

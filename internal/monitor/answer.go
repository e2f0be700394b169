package monitor

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

// explainAs explains what another may, to an auditor. The name services may have to
// be asked for who that is, so that waits for nothing else.
func (m *Monitor) explainAs(peer *wall.Peer, r *wall.Request, id policy.Identity, j *judged) {
	go func() {
		other, err := m.callers.Find(r.As)
		if err == nil {
			other.EndUser = id.EndUser
			j.explain(r, other)
			j.text = j.outcome.Text()
		}
		m.post(func() {
			switch {
			case err != nil:
				m.refuse(peer, r, deputy.Refuse(deputy.BadRequest, "%v", err))
			case j.refusal != nil:
				m.refuse(peer, r, j.refusal)
			default:
				peer.AnswerText(r, 0, j.text)
			}
		})
	}()
}

// denied records a refusal for want of a rule, and logs it.
func (m *Monitor) denied(id policy.Identity, r *wall.Request, refusal *deputy.Error) {
	if refusal.Code != deputy.NotAllowed {
		return
	}
	account := m.callers.Account(id.Caller)
	record, hidden := m.denials.note(account, time.Now())
	if !record {
		return
	}
	what := r.Module + "/" + r.Action
	if r.Kind == wall.Stop {
		what = "stop of task " + r.Task
	}
	m.log.Printf("%s %s denied: %s", callerLabel(id), what, refusal.Detail)
	if m.ledger.Unwritable() != nil {
		m.denials.hide(account, hidden+1)
		return
	}
	m.ledger.Record(&deputy.Event{
		Type: deputy.Denied, Caller: id.Caller, EndUser: id.EndUser, Module: r.Module, Action: r.Action, Task: r.Task,
		Code: refusal.Code, Reason: refusal.Detail, Count: hidden,
	}, ledger.After{})
}

// recordHidden records by number the denials that were too many to be recorded
// one by one, once their hour is over.
func (m *Monitor) recordHidden() {
	if m.ledger.Unwritable() == nil {
		for caller, count := range m.denials.over(time.Now()) {
			m.ledger.Record(&deputy.Event{Type: deputy.Denied, Caller: caller, Code: deputy.NotAllowed, Count: count,
				Reason: "more denials like those recorded before, of this caller and of those whose limits are the same"}, ledger.After{})
		}
	}
	m.loop.After(denialsSpan/6, m.recordHidden)
}

// logAccepted writes the one line of an accepted request, like
//
//	uid=33(panel) end_user=alice service/restart unit=nginx.service allowed by site.toml:7 task=…39e8184c
func (m *Monitor) logAccepted(e *deputy.Event, plan *policy.Plan, ids []string) {
	var line strings.Builder
	id := policy.Identity{Caller: e.Caller, EndUser: e.EndUser}
	id.Name = m.callers.Name(e.Caller)
	fmt.Fprintf(&line, "%s %s/%s", callerLabel(id), e.Module, e.Action)
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
	m.log.Print(line.String())
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

// callerLabel names a caller in the log: "uid=33(www-data) end_user=alice".
func callerLabel(id policy.Identity) string {
	label := strings.Replace(string(id.Caller), ":", "=", 1)
	if id.Name != "" {
		label += "(" + id.Name + ")"
	}
	if id.EndUser != "" {
		label += " end_user=" + strconv.Quote(id.EndUser)
	}
	return label
}

package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"deputy"
	"deputy/internal/monitor/manifest"
)

// LockText shows a lock; two locks of one text may have different parts.
func (i *Item) LockText() string { return strings.Join(i.Lock, "") }

// LockKey is one text for each tuple of a lock's parts.
func LockKey(parts []string) string {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString(strconv.Itoa(len(part)) + ":" + part)
	}
	return b.String()
}

// Sealed is Params with sensitive values as journal, history and answers have them.
func (i *Item) Sealed(seal func(param, value string) string) map[string]any {
	if i.Secrets == nil {
		return i.Params
	}
	sealed := maps.Clone(i.Params)
	for param, value := range i.Secrets {
		sealed[param] = seal(param, value.(string)) // a sensitive param is a string
	}
	return sealed
}

// Digest is hex SHA-256 of a request as canonical JSON: equal for requests that
// ask for the same with the same values, however these were written. Sensitive
// values count by their seals.
func (plan *Plan) Digest(seal func(param, value string) string) string {
	type values struct {
		Params map[string]any `json:"params"`
	}
	items := make([]values, len(plan.Each))
	for i, item := range plan.Each {
		items[i] = values{plan.Items[item].Sealed(seal)}
	}
	text, err := json.Marshal([]any{plan.Action.Module, plan.Action.Name, items})
	if err != nil {
		panic("cannot write checked values as JSON: " + err.Error()) // Check gives nothing that JSON cannot say
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Secret says whether any of the values is sensitive.
func (plan *Plan) Secret() bool {
	return slices.ContainsFunc(plan.Items, func(i Item) bool { return i.Secrets != nil })
}

// key is one text for equal values.
func (i *Item) key() string {
	text, err := json.Marshal(i.values)
	if err != nil {
		panic("cannot write checked values as JSON: " + err.Error()) // Check gives nothing that JSON cannot say
	}
	return string(text)
}

// distinct leaves out items whose values an earlier one has, and says where each
// item is found.
func distinct(items []Item) (kept []Item, each []int) {
	each = make([]int, len(items))
	if len(items) == 1 {
		return items, each
	}
	at := make(map[string]int, len(items))
	for i := range items {
		key := items[i].key()
		n, seen := at[key]
		if !seen {
			n = len(kept)
			at[key] = n
			kept = append(kept, items[i])
		}
		each[i] = n
	}
	return kept, each
}

// mostItems is how many items a request may name, equal ones too, where one
// caller may not have more live tasks.
const mostItems = 4096

// tooMany refuses a list that can never be served, however long its sender
// waits, before anything is made of its items.
func (p *Policy) tooMany(a *manifest.Action, params deputy.Params) []deputy.ParamError {
	if a.ForEach == nil {
		return nil
	}
	list, _ := params[a.ForEach.List].([]any) // that of a 'Key: Value' line is bounded by the line
	live := p.set.Config.Default.Live
	detail := ""
	switch most := max(mostItems, live); {
	case len(list) > most:
		detail = fmt.Sprintf("has %d items, and a request may have at most %d: ask for fewer at a time", len(list), most)
	case a.Stops == "" && len(list) > live && different(list, live):
		detail = fmt.Sprintf("has %d items, and one caller may have at most %d live tasks ([defaults] per_caller.live): ask for fewer at a time", len(list), live)
	}
	if detail == "" {
		return nil
	}
	return []deputy.ParamError{{Param: a.ForEach.List, Detail: detail}}
}

// different says whether a list, as it was sent, has more than so many different
// items: those that are equal are one task.
func different(list []any, most int) bool {
	seen, others := map[any]bool{}, 0
	for _, item := range list {
		switch item.(type) {
		case []any, map[string]any:
			others++
		default:
			seen[item] = true
		}
		if len(seen)+others > most {
			return true
		}
	}
	return false
}

// clashes finds items of one request that have one lock and different values: the
// second could neither join the first nor run beside it.
func clashes(a *manifest.Action, items []Item) []deputy.ParamError {
	if a.ForEach == nil || a.Lock == nil || a.OnBusy == manifest.InLine { // they queue for it
		return nil
	}
	keys := make([]string, len(items))
	first := map[string]int{} // the first item with a lock
	against := map[int]int{}  // an item that it clashes with
	for i := range items {
		keys[i] = items[i].key()
		lock := LockKey(items[i].Lock)
		before, seen := first[lock]
		switch {
		case !seen:
			first[lock] = i
		case keys[i] != keys[before]:
			against[i] = before
			if _, told := against[before]; !told {
				against[before] = i
			}
		}
	}
	wrong := make([]deputy.ParamError, 0, len(against))
	for i := range items {
		if other, clash := against[i]; clash {
			wrong = append(wrong, deputy.ParamError{Param: fmt.Sprintf("%s[%d]", a.ForEach.List, i), Detail: fmt.Sprintf(
				"has the lock %q of %s[%d], and another value: one of them alone could run; ask for them one after the other", clipped(items[i].LockText()), a.ForEach.List, other)})
		}
	}
	return slices.Clip(wrong)
}

func clipped(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

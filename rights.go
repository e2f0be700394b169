package deputy

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Rights is what one caller, for one end user, may beyond its own tasks. The
// monitor makes it; the server holds tasks against it. "{caller}" and
// "{end_user}" are already replaced.
type Rights struct {
	Caller       Caller  `json:"caller"`
	Name         string  `json:"name"` // for messages, like "www-data"
	Auditor      bool    `json:"auditor"`
	Operator     bool    `json:"operator"`
	NamesEndUser bool    `json:"names_end_user"`
	Read         []Grant `json:"read"` // tasks of others that it may see
	Stop         []Grant `json:"stop"` // tasks of others that it may stop
}

// MayRead says whether a task that another started may be seen, by its module,
// action and own params. Of params read from JSON, numbers are best left as
// json.Number: a large integer does not survive a float64.
func (r Rights) MayRead(module, action string, params map[string]any) bool {
	return r.Auditor || covers(r.Read, module, action, params)
}

// MayStop says whether a task that another started may be stopped.
func (r Rights) MayStop(module, action string, params map[string]any) bool {
	return r.Operator || covers(r.Stop, module, action, params)
}

func covers(grants []Grant, module, action string, params map[string]any) bool {
	return slices.ContainsFunc(grants, func(g Grant) bool { return g.Covers(module, action, params) })
}

// Grant is actions and the values that it is confined to.
type Grant struct {
	Actions []string         `json:"actions"`         // "module/action", "module/*" or "*"
	Where   map[string][]any `json:"where,omitempty"` // param -> values, one of which it must have
}

// Covers says whether g holds for an action with these values.
func (g Grant) Covers(module, action string, params map[string]any) bool {
	if !g.Names(module, action) {
		return false
	}
	for param, values := range g.Where {
		if !oneOf(params[param], values) {
			return false
		}
	}
	return true
}

// Names says whether g is about an action at all.
func (g Grant) Names(module, action string) bool {
	return slices.ContainsFunc(g.Actions, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return prefix == "" || prefix == module+"/"
		}
		return pattern == module+"/"+action
	})
}

// oneOf holds a value against the allowed ones. Every item of a list must be
// allowed, and an empty list is not: to a program it may well mean "all".
// A param without a value is never allowed.
func oneOf(value any, allowed []any) bool {
	if list, ok := value.([]any); ok {
		return len(list) > 0 && !slices.ContainsFunc(list, func(item any) bool { return !oneOf(item, allowed) })
	}
	return value != nil && slices.ContainsFunc(allowed, func(a any) bool { return reflect.DeepEqual(plain(a), plain(value)) })
}

// plain gives equal numbers one form, however they were read; a number never
// equals a string.
func plain(v any) any {
	switch v := v.(type) {
	case int64:
		return Number(strconv.FormatInt(v, 10))
	case float64:
		return Number(strconv.FormatFloat(v, 'f', -1, 64))
	case json.Number:
		return plain(Number(v))
	case Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return plain(n)
		}
		if f, err := strconv.ParseFloat(string(v), 64); err == nil {
			return Number(strconv.FormatFloat(f, 'f', -1, 64))
		}
	}
	return v
}

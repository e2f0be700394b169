package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"deputy/internal/monitor/manifest/schema"
)

// fields says how each key of a table is read.
type fields map[string]func(*node)

// mustBe refuses a value of another kind.
func (l *loader) mustBe(n *node, k kind) bool {
	if n.kind == k {
		return true
	}
	remedy := map[kind]string{
		isTable: "write it as a table: { … }", isList: `write it as a list: ["…"]`, isString: "write it in quotes", isBool: "write true or false, without quotes",
	}[k]
	l.fail(n, remedy, "%q must be %s, not %s", n.name(), k, n.kind)
	return false
}

// members is what stands in a table; nothing if n is none.
func (l *loader) members(n *node) []*node {
	if !l.mustBe(n, isTable) {
		return nil
	}
	return n.children
}

// table reads every member of n by f. what names such a table: "an action".
func (l *loader) table(n *node, what string, f fields) bool {
	for _, c := range l.members(n) {
		if read, ok := f[c.key]; ok {
			read(c)
		} else {
			l.unknown(n, c, what, slices.Collect(maps.Keys(f)))
		}
	}
	return n.kind == isTable
}

// tables reads n, a table or a list of tables, one by one.
func (l *loader) tables(n *node, read func(*node)) {
	if n.kind != isList {
		read(n)
		return
	}
	for _, c := range n.children {
		read(c)
	}
}

// unknown says what is wrong with a key that its table does not have.
func (l *loader) unknown(table, n *node, what string, known []string) {
	where := "in [" + table.path() + "]"
	if table.parent == nil {
		where = "at the top of " + what
	}
	same := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, n.key) })
	switch home := home(n.key); {
	case (what == "a manifest" || what == "an action") && later(n.key):
		l.failKey(n, "remove it", "this version of deputy does not have %q yet", n.key)
	case same >= 0:
		l.failKey(n, fmt.Sprintf("write %q", known[same]), "%q %s is written in another case", n.key, where)
	case home != "":
		remedy := "it belongs in " + home
		if near := schema.Nearest(n.key, known); near != "" {
			remedy += fmt.Sprintf("; or did you mean %q?", near)
		}
		l.failKey(n, remedy, "misplaced key %q %s", n.key, where)
	default:
		l.failKey(n, meant(n.key, "the keys of "+what+" are", known), "unknown key %q %s", n.key, where)
	}
}

// later says whether a key of an action will come with a later version.
func later(key string) bool {
	return slices.Contains([]string{"limits", "retry", "schedule", "cache", "result",
		"revert", "approve", "sandbox", "capabilities", "progress"}, key)
}

// lacks says whether a table lacks a key, and not just because it is misspelt:
// that is said already.
func (n *node) lacks(key string) bool {
	return n.get(key) == nil && !slices.ContainsFunc(n.children, func(c *node) bool {
		return schema.Nearest(c.key, []string{key}) != ""
	})
}

// home says where a key belongs; empty if it is none, or at home in most tables.
func home(key string) string {
	switch key {
	case "command", "stdin", "for_each", "stops":
		return "[action.NAME]"
	case "user", "env", "lock", "on_busy", "debounce", "queue", "priority", "directory", "shell", "stop_signal", "grace", "linger", "timeout", "start_within", "stoppable",
		"sd_notify", "success_codes", "stdin_file", "stderr", "max_body", "rate", "params":
		return "[action.NAME], or the top of a manifest"
	case "actions", "users", "keys", "end_users", "where", "stop", "read":
		return "[allow]"
	case "type", "enum", "const", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
		"uniqueItems", "default", "format", "under", "file", "items", "properties", "optional", "multiline", "sensitive", "allow_dash":
		return "params.NAME"
	case "listen", "tls", "key", "server", "defaults", "storage":
		return "deputy.toml"
	}
	return ""
}

// into makes a reader that puts a text, read by parse, into dst. A plain
// integer counts as its text.
func into[T any](l *loader, dst *T, parse func(string) (T, error)) func(*node) {
	return func(n *node) {
		text, ok := n.value.(string)
		if i, isInt := n.value.(int64); isInt {
			text, ok = strconv.FormatInt(i, 10), true
		}
		if !ok && !l.mustBe(n, isString) {
			return
		}
		value, err := parse(text)
		if err != nil {
			l.wrong(n, err)
			return
		}
		*dst = value
	}
}

// wrong records that n's value is refused by err, wrongKey its key.
func (l *loader) wrong(n *node, err error) {
	message, remedy := split(err)
	l.fail(n, remedy, "%s: %s", n.name(), message)
}

func (l *loader) wrongKey(n *node, err error) {
	if err != nil {
		message, remedy := split(err)
		l.failKey(n, remedy, "%s", message)
	}
}

// name is n's key, or that of the list it stands in.
func (n *node) name() string {
	for n.key == "" && n.parent != nil {
		n = n.parent
	}
	return n.key
}

// list makes a reader of a list of texts; what it puts into dst is never nil.
func list[T any](l *loader, dst *[]T, parse func(string) (T, error)) func(*node) {
	return func(n *node) {
		*dst = []T{}
		if !l.mustBe(n, isList) {
			return
		}
		for _, c := range n.children {
			var value T
			into(l, &value, parse)(c)
			*dst = append(*dst, value)
		}
	}
}

// whole makes a reader of an integer from low to high.
func whole[T int | int64](l *loader, dst *T, low, high int64) func(*node) {
	return func(n *node) {
		i, ok := n.value.(int64)
		if !ok || i < low || i > high {
			l.fail(n, fmt.Sprintf("write a number from %d to %d", low, high), "%q is not an integer in range", n.name())
			return
		}
		*dst = T(i)
	}
}

func (l *loader) flag(dst *bool) func(*node) {
	return func(n *node) {
		if l.mustBe(n, isBool) {
			*dst = n.value.(bool)
		}
	}
}

func (l *loader) text(dst *string) func(*node) {
	return func(n *node) {
		if l.mustBe(n, isString) {
			*dst = n.value.(string)
		}
	}
}

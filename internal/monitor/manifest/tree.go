package manifest

import (
	"bytes"
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// kind says what a TOML value is, as messages call it.
type kind string

const (
	isString kind = "a string"
	isInt    kind = "an integer"
	isFloat  kind = "a number"
	isBool   kind = "true or false"
	isDate   kind = "a date"
	isList   kind = "a list"
	isTable  kind = "a table"
)

// date is a TOML date or time. Nothing in our files is one: as a value of its
// own type it is refused wherever it stands.
type date string

// node is a value of a TOML file with its key, and where both stand. The
// decoder of the library would match keys in any case and forget positions;
// so only its parser is used, and this tree is made of what it finds.
type node struct {
	src      *source
	parent   *node // nil at the top of the file
	key      string
	keyAt    int // byte offset of the key; of the value where it has none
	at       int // byte offset of the value
	kind     kind
	value    any // string, int64, float64, bool or date
	children []*node
}

func (n *node) pos() Pos { return n.src.problem(n.keyAt, "", "").Pos }

// path names n from the top of the file, dotted.
func (n *node) path() string {
	switch {
	case n.parent == nil:
		return ""
	case n.key == "":
		return n.parent.path()
	}
	return strings.TrimPrefix(n.parent.path()+"."+n.key, ".")
}

// get is n's member of that name; nil if it has none.
func (n *node) get(key string) *node {
	for _, c := range n.children {
		if n.kind == isTable && c.key == key {
			return c
		}
	}
	return nil
}

// find follows a dotted path down from n, as far as it goes.
func (n *node) find(path string) *node {
	for key := range strings.SplitSeq(path, ".") {
		if c := n.get(key); c != nil {
			n = c
		}
	}
	return n
}

// plain is the value without positions: string, int64, float64, bool, []any or
// map[string]any.
func (n *node) plain() any {
	switch n.kind {
	case isList:
		list := make([]any, len(n.children))
		for i, c := range n.children {
			list[i] = c.plain()
		}
		return list
	case isTable:
		table := make(map[string]any, len(n.children))
		for _, c := range n.children {
			table[c.key] = c.plain()
		}
		return table
	}
	return n.value
}

// parse reads a file's text; nil if it is not TOML.
func (l *loader) parse(src *source) *node {
	if err := toml.Unmarshal(src.text, &map[string]any{}); err != nil {
		l.problems = append(l.problems, src.notTOML(err))
		return nil
	}
	t := tree{src: src}
	t.parser.Reset(src.text)
	root := &node{src: src, kind: isTable}
	for current := root; t.parser.NextExpression(); {
		if e := t.parser.Expression(); e.Kind == unstable.KeyValue {
			t.assign(current, e)
		} else {
			current = t.open(root, e)
		}
	}
	return root
}

// notTOML says where and why the library does not take a text. It gives no
// place for a key or table that stands twice: then the shortest beginning of
// the text that it does not take ends with that.
func (s *source) notTOML(err error) Problem {
	if bytes.HasPrefix(s.text, []byte("\ufeff")) { // nobody can see it
		return s.problem(0, "the file begins with a byte order mark", "save it without one, as UTF-8")
	}
	message := "this is not TOML: " + strings.TrimPrefix(err.Error(), "toml: ")
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, col := e.Position()
		at := 0
		for ; row > 1; row-- {
			at += bytes.IndexByte(s.text[at:], '\n') + 1
		}
		return s.problem(at+col-1, message, "see toml.io for how it is written")
	}
	var starts []int // of each expression
	var p unstable.Parser
	for p.Reset(s.text); p.NextExpression(); {
		keys := p.Expression().Key()
		keys.Next()
		starts = append(starts, int(keys.Node().Raw.Offset))
	}
	i := sort.Search(len(starts)-1, func(i int) bool {
		line := bytes.LastIndexByte(s.text[:starts[i+1]], '\n') + 1
		return toml.Unmarshal(s.text[:line], &map[string]any{}) != nil
	})
	return s.problem(starts[i], message, "write it once")
}

// tree makes nodes of one file, of which it is known that it is TOML.
type tree struct {
	src    *source
	parser unstable.Parser
}

// descend goes down from a table by all keys but the last, which it returns;
// through lists of tables by their newest. Tables that are missing are made.
func (t *tree) descend(table *node, keys unstable.Iterator) (*node, *unstable.Node) {
	for keys.Next() && !keys.IsLast() {
		table = t.table(table, keys.Node())
	}
	return table, keys.Node()
}

func (t *tree) table(in *node, key *unstable.Node) *node {
	next := in.get(string(key.Data))
	if next == nil {
		next = t.add(in, key, &node{kind: isTable, at: int(key.Raw.Offset)})
	}
	if next.kind == isList && len(next.children) > 0 {
		next = next.children[len(next.children)-1]
	}
	return next
}

// add hangs n below a table under a key.
func (t *tree) add(table *node, key *unstable.Node, n *node) *node {
	n.src, n.parent, n.key, n.keyAt = t.src, table, string(key.Data), int(key.Raw.Offset)
	table.children = append(table.children, n)
	return n
}

// open finds or makes the table of a [header], or the next one of a [[header]].
func (t *tree) open(root *node, e *unstable.Node) *node {
	table, key := t.descend(root, e.Key())
	at := int(key.Raw.Offset)
	if e.Kind == unstable.Table {
		n := t.table(table, key)
		n.keyAt, n.at = at, at
		return n
	}
	list := table.get(string(key.Data))
	if list == nil {
		list = t.add(table, key, &node{kind: isList, at: at})
	}
	n := &node{src: t.src, parent: list, keyAt: at, at: at, kind: isTable}
	list.children = append(list.children, n)
	return n
}

// assign puts "a.b = value" into a table.
func (t *tree) assign(table *node, e *unstable.Node) {
	table, key := t.descend(table, e.Key())
	// The parser gives no place for a list: it begins after "key =".
	rest := t.src.text[key.Raw.Offset+key.Raw.Length:]
	at := len(t.src.text) - len(bytes.TrimLeft(rest, " \t="))
	t.add(table, key, t.value(e.Value(), at))
}

// value makes a node of a value that stands at a byte offset, as far as known.
func (t *tree) value(v *unstable.Node, at int) *node {
	n := &node{src: t.src, at: at, value: date(v.Data), kind: isDate}
	text := strings.ReplaceAll(string(v.Data), "_", "")
	switch v.Kind {
	case unstable.String:
		n.kind, n.value = isString, string(v.Data)
	case unstable.Integer:
		i, _ := strconv.ParseInt(text, 0, 64) // the library has judged it
		n.kind, n.value = isInt, i
	case unstable.Float:
		f, _ := strconv.ParseFloat(text, 64)
		n.kind, n.value = isFloat, f
	case unstable.Bool:
		n.kind, n.value = isBool, text == "true"
	case unstable.InlineTable:
		n.kind, n.value = isTable, nil
		for it := v.Children(); it.Next(); {
			t.assign(n, it.Node())
		}
	case unstable.Array:
		n.kind, n.value = isList, nil
		for it := v.Children(); it.Next(); {
			c := t.value(it.Node(), at)
			if c.parent = n; len(c.children) > 0 {
				c.at = c.children[0].at
			}
			n.children = append(n.children, c)
		}
	}
	if v.Raw.Length > 0 {
		n.at = int(v.Raw.Offset)
	} else if n.kind == isBool || n.kind == isDate {
		n.at = int(t.parser.Range(v.Data).Offset)
	}
	n.keyAt = n.at
	return n
}

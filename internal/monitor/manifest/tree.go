package manifest

import (
	"errors"
	"slices"
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

	header  bool // defined by its own [header] or [[header]]
	closed  bool // complete where it stands: { … }
	section int  // a table that dotted keys made, under the header of this number; from 1
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

// tree makes nodes of one file.
type tree struct {
	*loader
	src     *source
	parser  unstable.Parser
	section int
}

// parse reads a file's text; nil if it is not TOML. A key that stands twice is
// a problem, and the first one counts.
func (l *loader) parse(src *source) *node {
	t := tree{loader: l, src: src}
	root := &node{src: src, kind: isTable, header: true}
	known := len(l.problems)
	t.parser.Reset(src.text)
	for current := root; t.parser.NextExpression(); {
		e := t.parser.Expression()
		switch e.Kind {
		case unstable.KeyValue:
			t.assign(current, e)
		case unstable.Table, unstable.ArrayTable:
			t.section++
			current = t.open(root, e)
		}
	}
	const remedy = "see toml.io for how it is written"
	var syntax *unstable.ParserError
	if errors.As(t.parser.Error(), &syntax) {
		at := t.parser.Range(syntax.Highlight).Offset
		l.problems = append(l.problems, src.problem(int(at), "this is not TOML: "+syntax.Message, remedy))
		return nil
	}
	// The parser alone does not judge numbers, dates and redefined tables.
	if err := toml.Unmarshal(src.text, &map[string]any{}); err != nil && len(l.problems) == known {
		p := src.problem(0, "this is not TOML: "+strings.TrimPrefix(err.Error(), "toml: "), remedy)
		if e, ok := errors.AsType[*toml.DecodeError](err); ok {
			row, col := e.Position()
			p = src.problem(offset(src.text, row, col), p.Message, remedy)
		}
		l.problems = append(l.problems, p)
		return nil
	}
	return root
}

// offset is the byte that a line and a column count from 1 to.
func offset(text []byte, row, col int) int {
	at := 0
	for ; row > 1; row-- {
		at += slices.Index(text[at:], '\n') + 1
	}
	return at + col - 1
}

// step goes from table to the member that a key names, and makes it a table if
// there is none; into the newest of a list of tables. nil: it is no table.
func (t *tree) step(table *node, key *unstable.Node) *node {
	next := table.get(string(key.Data))
	if next == nil {
		next = t.add(table, key, &node{kind: isTable, at: int(key.Raw.Offset)})
	}
	if next.kind == isList && next.header && len(next.children) > 0 {
		next = next.children[len(next.children)-1]
	}
	if next.kind != isTable || next.closed {
		return nil
	}
	return next
}

// add hangs n below table under a key.
func (t *tree) add(table *node, key *unstable.Node, n *node) *node {
	n.src, n.parent, n.key, n.keyAt = t.src, table, string(key.Data), int(key.Raw.Offset)
	table.children = append(table.children, n)
	return n
}

// twice says that a key stands twice. What follows goes into a table of its own
// that nothing looks at.
func (t *tree) twice(table *node, key *unstable.Node) *node {
	n := &node{src: t.src, keyAt: int(key.Raw.Offset), kind: isTable}
	remedy := "remove one of them"
	if first := table.get(string(key.Data)); first != nil {
		remedy = "it stands first in line " + strconv.Itoa(first.pos().Line) + ": " + remedy
	}
	t.failKey(n, remedy, "%q stands twice", key.Data)
	return n
}

// open finds or makes the table of a [header] or the next of a [[header]].
func (t *tree) open(root *node, e *unstable.Node) *node {
	table := root
	keys := e.Key()
	for keys.Next() && !keys.IsLast() {
		next := t.step(table, keys.Node())
		if next == nil {
			return t.twice(table, keys.Node())
		}
		table = next
	}
	key := keys.Node()
	old := table.get(string(key.Data))
	if e.Kind == unstable.ArrayTable {
		if old == nil {
			old = t.add(table, key, &node{kind: isList, header: true, at: int(key.Raw.Offset)})
		} else if old.kind != isList || !old.header {
			return t.twice(table, key)
		}
		item := &node{src: t.src, parent: old, keyAt: int(key.Raw.Offset), at: int(key.Raw.Offset), kind: isTable, header: true}
		old.children = append(old.children, item)
		return item
	}
	if old != nil && (old.kind != isTable || old.header || old.closed || old.section != 0) {
		return t.twice(table, key)
	}
	next := t.step(table, key)
	next.header, next.keyAt, next.at = true, int(key.Raw.Offset), int(key.Raw.Offset)
	return next
}

// assign puts "a.b = value" into a table.
func (t *tree) assign(table *node, e *unstable.Node) {
	keys := e.Key()
	for keys.Next() && !keys.IsLast() {
		old := table.get(string(keys.Node().Data))
		next := t.step(table, keys.Node())
		if next == nil || old != nil && next.section != t.section+1 {
			t.twice(table, keys.Node())
			return
		}
		next.section = t.section + 1
		table = next
	}
	key := keys.Node()
	if table.get(string(key.Data)) != nil {
		t.twice(table, key)
		return
	}
	// The parser gives no place for a list: it begins after "key =".
	rest := t.src.text[key.Raw.Offset+key.Raw.Length:]
	at := len(t.src.text) - len(strings.TrimLeft(string(rest), " \t="))
	t.add(table, key, t.value(e.Value(), at))
}

// value makes a node of a value that stands at a byte offset, as far as known.
func (t *tree) value(v *unstable.Node, at int) *node {
	n := &node{src: t.src, at: at}
	text := strings.ReplaceAll(string(v.Data), "_", "")
	switch v.Kind {
	case unstable.String:
		n.kind, n.value, n.at = isString, string(v.Data), int(v.Raw.Offset)
	case unstable.Integer:
		i, _ := strconv.ParseInt(text, 0, 64) // what is out of range is said by the library
		n.kind, n.value, n.at = isInt, i, int(v.Raw.Offset)
	case unstable.Float:
		f, _ := strconv.ParseFloat(text, 64)
		n.kind, n.value, n.at = isFloat, f, int(v.Raw.Offset)
	case unstable.Bool:
		n.kind, n.value, n.at = isBool, text == "true", int(t.parser.Range(v.Data).Offset)
	case unstable.Array:
		n.kind = isList
		for it := v.Children(); it.Next(); {
			c := t.value(it.Node(), at)
			c.parent = n
			if len(c.children) > 0 {
				c.at = c.children[0].at
			}
			n.children = append(n.children, c)
		}
	case unstable.InlineTable:
		n.kind, n.closed, n.at = isTable, true, int(v.Raw.Offset)
		for it := v.Children(); it.Next(); {
			t.assign(n, it.Node())
		}
	default:
		n.kind, n.value, n.at = isDate, date(v.Data), int(t.parser.Range(v.Data).Offset)
	}
	n.keyAt = n.at
	return n
}

package wall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"unicode/utf8"

	"deputy"
)

// ErrBroken is wrapped by every error that means that the peer does not speak
// this protocol: a frame of the wrong shape, never a value that is refused.
var ErrBroken = errors.New("the wall's protocol is broken")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBroken, fmt.Sprintf(format, args...))
}

// encoder appends fields. Integers are little endian, text has its length (u32)
// in front.
type encoder struct{ b []byte }

func (e *encoder) u32(n uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, n) }
func (e *encoder) u64(n uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, n) }
func (e *encoder) text(s string) {
	e.b = append(binary.LittleEndian.AppendUint32(e.b, uint32(len(s))), s...)
}
func (e *encoder) flag(f bool) {
	if f {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

// The tags of values: what strictjson gives, and Text of the line protocol.
const (
	tagNull   = 'z'
	tagFalse  = 'f'
	tagTrue   = 't'
	tagString = 's'
	tagNumber = 'n'
	tagText   = 'x'
	tagList   = 'l'
	tagObject = 'o'
)

func (e *encoder) value(v any) error {
	switch v := v.(type) {
	case nil:
		e.b = append(e.b, tagNull)
	case bool:
		if v {
			e.b = append(e.b, tagTrue)
		} else {
			e.b = append(e.b, tagFalse)
		}
	case string:
		e.b = append(e.b, tagString)
		e.text(v)
	case deputy.Number:
		e.b = append(e.b, tagNumber)
		e.text(string(v))
	case deputy.Text:
		e.b = append(e.b, tagText)
		e.text(string(v))
	case []any:
		e.b = append(e.b, tagList)
		e.u32(uint32(len(v)))
		for _, item := range v {
			if err := e.value(item); err != nil {
				return err
			}
		}
	case map[string]any:
		return e.object(v)
	default:
		return fmt.Errorf("cannot send a value of type %T over the wall", v)
	}
	return nil
}

// object writes members in the order of their names, so that a message has one form.
func (e *encoder) object(members map[string]any) error {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	sort.Strings(names)
	e.b = append(e.b, tagObject)
	e.u32(uint32(len(names)))
	for _, name := range names {
		e.text(name)
		if err := e.value(members[name]); err != nil {
			return err
		}
	}
	return nil
}

// decoder takes fields off b. After the first error every read gives a zero
// value, so that a caller checks err once.
type decoder struct {
	b     []byte
	err   error
	items int // values read, against MaxItems
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = broken(format, args...)
	}
	d.b = nil
}

func (d *decoder) short(n int) { d.fail("a field of %d bytes where %d are left", n, len(d.b)) }

func (d *decoder) u32() uint32 {
	if len(d.b) < 4 {
		d.short(4)
		return 0
	}
	n := binary.LittleEndian.Uint32(d.b)
	d.b = d.b[4:]
	return n
}

func (d *decoder) u64() uint64 {
	if len(d.b) < 8 {
		d.short(8)
		return 0
	}
	n := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return n
}

func (d *decoder) byte() byte {
	if len(d.b) < 1 {
		d.short(1)
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) flag() bool {
	switch d.byte() {
	case 0:
	case 1:
		return true
	default:
		d.fail("a flag that is neither 0 nor 1")
	}
	return false
}

// sized gives what stands behind its length, of at most limit bytes, where it lies.
func (d *decoder) sized(limit int) []byte {
	if len(d.b) < 4 {
		d.short(4)
		return nil
	}
	n := binary.LittleEndian.Uint32(d.b)
	if n > uint32(limit) {
		d.fail("a field of %d bytes, longer than %d", n, limit)
		return nil
	}
	end := 4 + int(n)
	if end > len(d.b) {
		d.short(end)
		return nil
	}
	field := d.b[4:end]
	d.b = d.b[end:]
	return field
}

// text reads at most limit bytes of valid UTF-8.
func (d *decoder) text(limit int) string {
	s := string(d.sized(limit))
	if !utf8.ValidString(s) {
		d.fail("a text that is not UTF-8")
		return ""
	}
	return s
}

// texts reads at most n texts, each of at most limit bytes.
func (d *decoder) texts(n, limit int) (list []string) {
	count := d.u32()
	if int64(count) > int64(n) {
		d.fail("a list of %d texts, longer than %d", count, n)
	}
	for i := uint32(0); i < count && d.err == nil; i++ {
		list = append(list, d.text(limit))
	}
	return list
}

// bytes reads at most limit bytes of any kind.
func (d *decoder) bytes(limit int) []byte { return append([]byte{}, d.sized(limit)...) }

func (d *decoder) value(depth int) any {
	if d.items++; d.items > MaxItems {
		d.fail("more than %d values", MaxItems)
		return nil
	}
	if depth > MaxDepth {
		d.fail("values more than %d deep", MaxDepth)
		return nil
	}
	switch tag := d.byte(); tag {
	case tagNull:
		return nil
	case tagFalse:
		return false
	case tagTrue:
		return true
	case tagString:
		return d.text(MaxFrame)
	case tagNumber:
		return deputy.Number(d.text(MaxName))
	case tagText:
		return deputy.Text(d.text(MaxFrame))
	case tagList:
		return d.list(depth)
	case tagObject:
		return d.members(depth)
	default:
		d.fail("a value with the unknown tag %d", tag)
		return nil
	}
}

func (d *decoder) list(depth int) []any {
	n := d.u32()
	if int64(n) > int64(len(d.b)) { // each item has at least its tag
		d.fail("a list of %d items in %d bytes", n, len(d.b))
		return nil
	}
	list := make([]any, 0, min(int(n), 1024))
	for range n {
		if d.err != nil {
			return nil
		}
		list = append(list, d.value(depth+1))
	}
	return list
}

func (d *decoder) members(depth int) map[string]any {
	n := d.u32()
	if int64(n)*5 > int64(len(d.b)) { // each member has at least a name's length and a tag
		d.fail("an object of %d members in %d bytes", n, len(d.b))
		return nil
	}
	members := make(map[string]any, min(int(n), 1024))
	last := ""
	for i := range n {
		if d.err != nil {
			return nil
		}
		name := d.text(MaxName)
		if i > 0 && name <= last {
			d.fail("the members of an object are not in order")
			return nil
		}
		last = name
		members[name] = d.value(depth + 1)
	}
	return members
}

// params reads the values of a request: always an object.
func (d *decoder) params() deputy.Params {
	if tag := d.byte(); tag != tagObject {
		d.fail("params that are not an object")
		return nil
	}
	return deputy.Params(d.members(1))
}

// Package deputy holds the nouns of deputy: what may be asked for, who asks,
// what became of it, and how a refusal is said. It does no I/O and knows no
// transport; both sides of the wall and the client speak in these words.
package deputy

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// Version is the release of all programs. The linker sets it with
// -X deputy.Version=…; it is never changed at run time.
var Version = "0.1.0-dev"

// Caller is who asks, as the kernel or a signature proves it: "uid:33",
// "key:panel", on Windows "sid:S-1-5-21-…".
type Caller string

// UIDCaller names the caller that a Unix socket's peer credentials prove.
func UIDCaller(uid uint32) Caller {
	return Caller("uid:" + strconv.FormatUint(uint64(uid), 10))
}

// SIDCaller names the caller that a Windows token proves, by the text of its
// security identifier: "S-1-5-18".
func SIDCaller(sid string) Caller { return Caller("sid:" + sid) }

// SID gives the security identifier of a "sid:…" caller.
func (c Caller) SID() (string, bool) { return strings.CutPrefix(string(c), "sid:") }

// UID gives the user id of a "uid:N" caller.
func (c Caller) UID() (uint32, bool) {
	text, ok := strings.CutPrefix(string(c), "uid:")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil
}

// Params are the values of a request, by name. A value is one of: string,
// int64, float64, bool, []any of values, or map[string]any of values. A number
// that was read but not yet held against its declaration is a Number; a value
// that a front door has only as text is a Text.
type Params map[string]any

// UnmarshalJSON leaves numbers as they are written: an integer of 64 bits does
// not survive a float64.
func (p *Params) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var read map[string]any
	if err := d.Decode(&read); err != nil {
		return err
	}
	for name, v := range read {
		read[name] = exact(v)
	}
	*p = read
	return nil
}

// exact turns json.Number into Number, wherever it stands in v.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		return Number(v)
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name])
		}
	}
	return v
}

// Number is a JSON number as it was written ("1", "1.0", "1e2"): what it means
// is decided where its declared type is known.
type Number string

// MarshalJSON writes the number as it was read.
func (n Number) MarshalJSON() ([]byte, error) { return []byte(n), nil }

// Text is a value that came as plain text (a 'Key: Value' line): it is read as
// the declared type.
type Text string

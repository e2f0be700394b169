package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"deputy"
)

// Check brings a value to p's type: a string, int64, float64, bool, []any or
// map[string]any. It takes what a JSON or TOML reader gives, deputy.Number, and
// deputy.Text, which is read as the declared type. Its error goes on from the
// param's name ("must be an integer from 1 to 65535, not \"x\""), and never
// shows a sensitive value.
func (p *Param) Check(v any) (any, error) {
	if n, ok := v.(json.Number); ok {
		v = deputy.Number(n)
	}
	typed, err := p.convert(v)
	if err == nil {
		err = p.constraints(typed)
	}
	var wrong mismatch
	if errors.As(err, &wrong) && !p.Sensitive {
		return nil, fmt.Errorf("must be %s, not %s", wrong.want, p.show(v))
	}
	if err != nil {
		return nil, err
	}
	return typed, nil
}

// mismatch says what a value must be, where that says it all.
type mismatch struct{ want string }

func (m mismatch) Error() string { return "must be " + m.want }

func (p *Param) convert(v any) (any, error) {
	switch p.Type {
	case "string":
		switch v := v.(type) {
		case string:
			return v, nil
		case deputy.Text:
			return string(v), nil
		}
	case "integer":
		if n, ok := integer(v); ok {
			return n, nil
		}
	case "number":
		if n, ok := number(v); ok {
			return n, nil
		}
	case "boolean":
		switch v {
		case true, deputy.Text("true"):
			return true, nil
		case false, deputy.Text("false"):
			return false, nil
		}
	case "array":
		if text, ok := v.(deputy.Text); ok {
			v = split(text)
		}
		if list, ok := v.([]any); ok {
			return p.list(list)
		}
	case "object":
		if object, ok := v.(map[string]any); ok {
			typed, wrong := CheckAll(p.Properties, object)
			if len(wrong) > 0 {
				return nil, fmt.Errorf("has a wrong member: %s %s", wrong[0].Param, wrong[0].Detail)
			}
			return typed, nil
		}
	}
	return nil, mismatch{p.describe()}
}

// split reads a list as a 'Key: Value' line has it: items between commas,
// trimmed; an empty value is an empty list.
func split(text deputy.Text) []any {
	if strings.TrimSpace(string(text)) == "" {
		return []any{}
	}
	var list []any
	for item := range strings.SplitSeq(string(text), ",") {
		list = append(list, deputy.Text(strings.TrimSpace(item)))
	}
	return list
}

// list checks the number of items before the items.
func (p *Param) list(list []any) (any, error) {
	if !within(len(list), p.MinItems, p.MaxItems) {
		return nil, fmt.Errorf("must have %s, not %d", bounds(p.MinItems, p.MaxItems, "item"), len(list))
	}
	typed, seen := make([]any, len(list)), map[string]int{}
	for i, item := range list {
		value, err := p.Items.Check(item)
		if err != nil {
			return nil, fmt.Errorf("has a wrong item %d: it %w", i+1, err)
		}
		typed[i] = value
		if !p.Unique {
			continue
		}
		if first, double := seen[key(value)]; double {
			return nil, fmt.Errorf("must not have an item twice: items %d and %d are equal", first, i+1)
		}
		seen[key(value)] = i + 1
	}
	return typed, nil
}

// constraints holds a typed value against every keyword but items and properties.
func (p *Param) constraints(v any) error {
	if p.Enum != nil && !slices.ContainsFunc(p.Enum, func(one any) bool { return key(one) == key(v) }) ||
		p.Const != nil && key(p.Const) != key(v) {
		return mismatch{p.describe()}
	}
	switch v := v.(type) {
	case string:
		return p.text(v)
	case int64:
		low, okLow := p.Minimum.(int64)
		high, okHigh := p.Maximum.(int64)
		if okLow && v < low || okHigh && v > high || slices.Contains(p.Formats, "port") && (v < 1 || v > 65535) {
			return mismatch{p.describe()}
		}
	case float64:
		low, okLow := p.Minimum.(float64)
		high, okHigh := p.Maximum.(float64)
		if okLow && v < low || okHigh && v > high {
			return mismatch{p.describe()}
		}
	}
	return nil
}

func (p *Param) text(s string) error {
	n := utf8.RuneCountInString(s)
	switch {
	case !utf8.ValidString(s):
		return errors.New("must be valid UTF-8")
	case p.Multiline && strings.ContainsRune(s, 0):
		return errors.New("must not hold a NUL character")
	case !p.Multiline && strings.ContainsFunc(s, breaksLine):
		return errors.New("must be one line without control characters")
	case !within(n, p.MinLength, p.MaxLength):
		return fmt.Errorf("must have %s, not %d", bounds(p.MinLength, p.MaxLength, "character"), n)
	case p.Pattern != nil && !p.Pattern.MatchString(s):
		return mismatch{"text like " + p.Pattern.String()}
	case p.Formats != nil && !slices.ContainsFunc(p.formats(), func(f format) bool { return f.holds(p, s) }):
		return mismatch{p.describe()}
	}
	return nil
}

func breaksLine(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// CheckAll brings values to their declared types and fills defaults in. Every
// value that is wrong, missing or not declared has its own error, in the order
// of the names.
func CheckAll(params map[string]*Param, values map[string]any) (map[string]any, []deputy.ParamError) {
	typed, wrong := map[string]any{}, []deputy.ParamError(nil)
	for _, name := range sortedNames(params) {
		p := params[name]
		given, ok := values[name]
		if !ok {
			if p.Default != nil {
				typed[name] = p.Default
			} else if p.Required() {
				wrong = append(wrong, deputy.ParamError{Param: name, Detail: "is missing: it must be " + p.describe()})
			}
			continue
		}
		value, err := p.Check(given)
		if err != nil {
			wrong = append(wrong, deputy.ParamError{Param: name, Detail: err.Error()})
			continue
		}
		typed[name] = value
	}
	for _, name := range sortedNames(values) {
		if params[name] == nil {
			detail := "is not a param here"
			if len(wrong) >= mostAdvised {
				wrong = append(wrong, deputy.ParamError{Param: clip(name), Detail: detail})
				continue
			}
			if near := Nearest(name, sortedNames(params)); near != "" {
				detail += fmt.Sprintf("; did you mean %s?", near)
			}
			if strings.ContainsFunc(name, breaksLine) || len(name) > 63 {
				name = clip(name)
			}
			wrong = append(wrong, deputy.ParamError{Param: name, Detail: detail})
		}
	}
	slices.SortStableFunc(wrong, func(a, b deputy.ParamError) int { return strings.Compare(a.Param, b.Param) })
	return typed, wrong
}

// mostAdvised is how many wrong names are looked into.
const mostAdvised = 100

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// key is equal for equal typed values of one type.
func key(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil { // NaN and infinity, which number never gives
		return fmt.Sprint(v)
	}
	return string(b)
}

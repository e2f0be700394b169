package client

import (
	"encoding"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"deputy"
)

// refuse is a refusal that arises here: nothing was sent.
func refuse(code deputy.Code, format string, args ...any) error {
	return &Error{Refusal: deputy.Refuse(code, format, args...)}
}

// check looks at whatever stands in the head of a request: nothing can end a line
// or begin another request, and no blank is left for HTTP to drop. What stands in
// its target was escaped.
func (r request) check() error {
	if len(r.path) > 2 && r.path[1] == "tasks" {
		if id := r.path[2]; id == "" || len(id) > 64 || strings.Trim(id, idChars) != "" {
			return refuse(deputy.UnknownTask, "cannot ask: such an id no task has")
		}
		if len(r.path) > 3 && r.method == http.MethodGet && r.path[3] != Stdout && r.path[3] != Stderr {
			return refuse(deputy.BadRequest, "cannot follow this: a task has stdout and stderr")
		}
	}
	for name, values := range r.header {
		for _, value := range values {
			if err := checkValue(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

const idChars = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-"

func checkValue(name, value string) error {
	control := strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f })
	if control || strings.Trim(value, " ") != value || !utf8.ValidString(value) {
		return refuse(deputy.BadRequest, "cannot ask: %s has a blank at its beginning or its end, or a control character, or is not UTF-8", name)
	}
	return nil
}

// checkText refuses text that is not UTF-8 anywhere in v, with its param and where
// in it: encoding/json would put U+FFFD in its place and ask for something else.
func checkText(v any) error {
	return textIn(reflect.ValueOf(v), "")
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// maxNested is how deep values are looked into; no daemon takes deeper ones.
const maxNested = 64

func textIn(v reflect.Value, param string) error {
	if !v.IsValid() || strings.Count(param, "[") > maxNested || v.Type().Implements(jsonMarshaler) || v.Type().Implements(textMarshaler) {
		return nil
	}
	within := func(name string) string {
		if param == "" {
			return name
		}
		return param + "[" + name + "]"
	}
	switch v.Kind() {
	case reflect.String:
		if n := goodText(v.String()); n < v.Len() {
			return refuse(deputy.BadParam, "cannot send %s: it is not UTF-8 from byte %d on; encode it, as base64 for one", param, n)
		}
	case reflect.Interface, reflect.Pointer:
		return textIn(v.Elem(), param)
	case reflect.Map:
		for _, key := range v.MapKeys() {
			name := fmt.Sprint(key)
			if goodText(name) < len(name) {
				return refuse(deputy.BadParam, "cannot send %s: it is no name, for it is not UTF-8", within(fmt.Sprintf("%q", name)))
			}
			if err := textIn(v.MapIndex(key), within(name)); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return nil // base64
		}
		for i := range v.Len() {
			if err := textIn(v.Index(i), within(fmt.Sprint(i))); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.IsExported() && name != "-" {
				if name == "" {
					name = field.Name
				}
				if err := textIn(v.Field(i), within(name)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// goodText is how many bytes at the beginning of text are UTF-8.
func goodText(text string) int {
	for i := 0; i < len(text); {
		c, n := utf8.DecodeRuneInString(text[i:])
		if c == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(text)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"deputy"
	"deputy/client"
)

// schema is the part of an action's JSON Schema that says how text is read.
type schema struct {
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Enum        []any             `json:"enum"`
	Default     any               `json:"default"`
	Items       *schema           `json:"items"`
	Properties  map[string]schema `json:"properties"`
	Required    []string          `json:"required"`
	Not         struct {
		Pattern string `json:"pattern"` // what a string may not hold
	} `json:"not"`
}

// params makes the body of a request from the command line. What is wrong with
// a value the daemon says, in one place for all clients; here a value is only
// given its declared type.
func (a *app) params(ctx context.Context, c *client.Client, module, action, whole string, pairs []string) (any, error) {
	if whole != "" {
		if len(pairs) > 0 {
			return nil, usage("--params gives all the params: %q cannot stand beside it", pairs[0])
		}
		return a.wholeParams(whole)
	}
	if len(pairs) == 0 {
		return nil, nil
	}
	texts, order, err := a.collect(pairs)
	if err != nil {
		return nil, err
	}
	declared, err := declaredParams(ctx, c, module, action)
	if err != nil {
		return nil, err
	}
	params := deputy.Params{}
	for _, name := range order {
		v, err := readParam(name, texts[name], declared.Properties[name])
		if err != nil {
			return nil, err
		}
		params[name] = v
	}
	return params, nil
}

// wholeParams reads --params: JSON, "-" for stdin, or @FILE. It is sent as it
// is, so that the daemon's strict reader sees what was written.
func (a *app) wholeParams(text string) (any, error) {
	var body []byte
	var err error
	switch {
	case text == "-":
		body, err = io.ReadAll(a.in)
	case strings.HasPrefix(text, "@"):
		body, err = os.ReadFile(text[1:])
	default:
		body = []byte(text)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read --params: %w", err)
	}
	return json.RawMessage(body), nil
}

// declaredParams asks what the params are. For an action that I may not use it
// gives none: the request itself is then refused with the reason.
func declaredParams(ctx context.Context, c *client.Client, module, action string) (*schema, error) {
	s := &schema{}
	declared, err := c.Action(ctx, module, action)
	var refused *client.Error
	if errors.As(err, &refused) && (refused.Status == 403 || refused.Status == 404) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	return readSchema(declared)
}

func readSchema(declared *deputy.ActionInfo) (*schema, error) {
	s := &schema{}
	text, err := json.Marshal(declared.Params)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the params of %s/%s: %w", declared.Module, declared.Action, err)
	}
	return s, nil
}

// value is one name=value as text.
type value struct {
	text string
	file bool // from a file: its last newline may be no part of the value
}

// collect gathers name=value pairs by name, in the order of their first use.
func (a *app) collect(pairs []string) (map[string][]value, []string, error) {
	texts := map[string][]value{}
	var order []string
	stdin := ""
	for _, pair := range pairs {
		name, text, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, nil, usage("%q is not name=value", pair)
		}
		if text == "@-" && stdin != "" {
			return nil, nil, usage("%s=@- cannot read stdin, which is read for %s already", name, stdin)
		}
		if text == "@-" {
			stdin = name
		}
		v, err := a.readValue(text)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot read %s: %w", name, err)
		}
		if texts[name] == nil {
			order = append(order, name)
		}
		texts[name] = append(texts[name], v)
	}
	return texts, order, nil
}

// readValue reads "@FILE" and "@-" (stdin); "@@…" is a text that begins with "@".
func (a *app) readValue(text string) (value, error) {
	rest, at := strings.CutPrefix(text, "@")
	switch {
	case !at:
		return value{text: text}, nil
	case strings.HasPrefix(rest, "@"):
		return value{text: rest}, nil
	case rest == "-":
		content, err := io.ReadAll(a.in)
		return value{string(content), true}, err
	}
	content, err := os.ReadFile(rest)
	return value{string(content), true}, err
}

// readParam gives the texts of one param its declared type. Each text is one item of a
// list, whatever it looks like: a whole list is given with --params.
func readParam(name string, texts []value, s schema) (any, error) {
	if s.Type != "array" {
		if len(texts) > 1 {
			return nil, usage("%s takes one value and was given %d", name, len(texts))
		}
		return readScalar(texts[0], s), nil
	}
	items := schema{}
	if s.Items != nil {
		items = *s.Items
	}
	list := make([]any, len(texts))
	for i, t := range texts {
		list[i] = readScalar(t, items)
	}
	return list, nil
}

// multiline says whether line breaks may be a part of the value: then NUL is
// all that is forbidden.
func (s schema) multiline() bool { return s.Not.Pattern == `\x00` }

// readScalar reads one value. A text that is not of the declared type stays a
// string, which the daemon then refuses by name.
func readScalar(v value, s schema) any {
	text := v.text
	if v.file && !s.multiline() && strings.IndexByte(text, '\n') == len(text)-1 {
		text = strings.TrimSuffix(text, "\n")
	}
	switch read := readJSON(text).(type) {
	case deputy.Number:
		if s.Type == "integer" || s.Type == "number" {
			return read
		}
	case bool:
		if s.Type == "boolean" {
			return read
		}
	case map[string]any:
		if s.Type == "object" {
			return read
		}
	}
	return text
}

// readJSON reads text as one JSON value, or gives nil.
func readJSON(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil
	}
	if n, ok := v.(json.Number); ok {
		return deputy.Number(n)
	}
	return v
}

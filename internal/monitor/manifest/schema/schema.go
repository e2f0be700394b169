// Package schema declares and checks parameter values, in JSON Schema's words.
// A value that has passed Check is one of: string, int64, float64, bool, []any
// and map[string]any of these; nothing else may reach a template or a rule.
package schema

import "regexp"

// Param is one declared parameter.
type Param struct {
	Name        string
	Description string
	Type        string // string, integer, number, boolean, array, object (an array's items only)

	Enum       []any // values of Type
	Const      any
	Default    any
	Pattern    *regexp.Regexp // anchored
	Minimum    any            // int64 or float64, as Type
	Maximum    any
	MinLength  *int // characters
	MaxLength  *int
	MinItems   *int
	MaxItems   *int
	Unique     bool
	Items      *Param
	Properties map[string]*Param // of an object
	Formats    []string          // any one of them must hold
	Under      string            // for format path: an absolute directory
	File       bool              // for format path: the task is handed the open file, not the path

	Optional  bool
	Multiline bool
	Sensitive bool
	AllowDash bool
}

// Keywords lists the keys that may stand in a param's declaration.
func Keywords() []string {
	return []string{"type", "description", "enum", "const", "default", "pattern", "minimum", "maximum",
		"minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "items", "properties", "format", "under", "file",
		"optional", "multiline", "sensitive", "allow_dash"}
}

// MayStartWithDash says whether a value of p may start an argument with '-'.
func (p *Param) MayStartWithDash() bool {
	return p.AllowDash || p.Items != nil && p.Items.AllowDash
}

// controls matches what one line of text cannot hold: control characters and
// the line breaks of Unicode. It reads the same in RE2 and in ECMA 262.
const controls = "[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]"

// JSONSchema is p as a JSON Schema (draft 2020-12). What JSON Schema has no
// word for (path, cidr and our other formats) stands as a format of our own,
// which validators ignore.
func (p *Param) JSONSchema() map[string]any {
	s := map[string]any{"type": p.Type}
	set := func(key string, value any, declared bool) {
		if declared {
			s[key] = value
		}
	}
	set("description", p.Description, p.Description != "")
	set("enum", p.Enum, p.Enum != nil)
	set("const", p.Const, p.Const != nil)
	set("default", p.Default, p.Default != nil)
	set("minimum", p.Minimum, p.Minimum != nil)
	set("maximum", p.Maximum, p.Maximum != nil)
	set("minLength", p.MinLength, p.MinLength != nil)
	set("maxLength", p.MaxLength, p.MaxLength != nil)
	set("minItems", p.MinItems, p.MinItems != nil)
	set("maxItems", p.MaxItems, p.MaxItems != nil)
	set("uniqueItems", true, p.Unique)
	set("writeOnly", true, p.Sensitive)
	if p.Pattern != nil { // JSON Schema's are ECMA 262; what is checked is RE2, and stands beside where it is another
		translated := ecma(p.Pattern)
		set("pattern", translated, translated != "")
		set("x-pattern-re2", p.Pattern.String(), translated != p.Pattern.String())
	}
	if p.Items != nil {
		s["items"] = p.Items.JSONSchema()
	}
	if p.Type == "object" {
		ObjectSchema(s, p.Properties)
	}
	if p.Type == "string" && p.Enum == nil && p.Const == nil && p.Formats == nil {
		forbidden := controls
		if p.Multiline {
			forbidden = `\x00`
		}
		s["not"] = map[string]any{"pattern": forbidden}
	}
	p.formatSchema(s)
	return s
}

func (p *Param) formatSchema(s map[string]any) {
	var alternatives []map[string]any
	for _, name := range p.Formats {
		one := map[string]any{"format": name}
		switch {
		case name == "path":
			one["pattern"] = "^" + regexp.QuoteMeta(beneath(p.Under))
		case name == "duration": // in JSON Schema "duration" is ISO 8601's
			one = map[string]any{"pattern": durationPattern}
		case name == "bytes":
			one["pattern"] = bytesPattern
		case name == "port" && p.Type == "integer":
			one["minimum"], one["maximum"] = 1, 65535
		}
		alternatives = append(alternatives, one)
	}
	if len(alternatives) > 0 {
		s["anyOf"] = alternatives
	}
}

// ObjectSchema makes s the schema of an object with these members and no other.
func ObjectSchema(s map[string]any, members map[string]*Param) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, name := range sortedNames(members) {
		properties[name] = members[name].JSONSchema()
		if members[name].Required() {
			required = append(required, name)
		}
	}
	s["type"], s["properties"], s["required"], s["additionalProperties"] = "object", properties, required, false
	return s
}

// Required says whether a request must bring a value.
func (p *Param) Required() bool { return !p.Optional && p.Default == nil }

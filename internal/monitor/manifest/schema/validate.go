package schema

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Validate says whether the declaration itself is sane, and brings Enum,
// Const, Default, Minimum and Maximum to p's type. keyword is the key that is
// wrong, as in the manifest, with the path to it: "items.minimum".
func (p *Param) Validate() (keyword string, err error) { return p.validate("") }

// validate takes the type of what p is a part of: "array", "object" or "".
func (p *Param) validate(within string) (string, error) {
	for _, check := range []func() (string, error){
		func() (string, error) { return p.validType(within) },
		p.validKeywords, p.validBounds, p.validText, p.validParts, p.validValues,
	} {
		if keyword, err := check(); err != nil {
			return keyword, err
		}
	}
	return "", nil
}

func (p *Param) validType(within string) (string, error) {
	types := []string{"string", "integer", "number", "boolean", "array"}
	switch {
	case p.Type == "":
		return "type", errors.New("is missing; write one of " + strings.Join(types, ", "))
	case p.Type == "object" && within != "array":
		return "type", errors.New("an object can only be the items of an array")
	case p.Type != "object" && !slices.Contains(types, p.Type):
		return "type", fmt.Errorf("%q is not a type; write one of %s", p.Type, strings.Join(types, ", "))
	case within == "array" && (p.Optional || p.Default != nil):
		return ifElse(p.Optional, "optional", "default"), errors.New("cannot stand in items: an item is there or not")
	case within != "" && p.Sensitive:
		return "sensitive", errors.New("can only be a whole param, not a part of one")
	case within == "object" && p.File:
		return "file", errors.New("cannot stand in an object; it can be a whole param, or the items of a list for for_each")
	}
	return "", nil
}

func ifElse(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

// validKeywords refuses what means nothing for the type.
func (p *Param) validKeywords() (string, error) {
	for _, k := range []struct {
		keyword  string
		declared bool
		types    string
	}{
		{"pattern", p.Pattern != nil, "string"},
		{"minLength", p.MinLength != nil, "string"},
		{"maxLength", p.MaxLength != nil, "string"},
		{"multiline", p.Multiline, "string"},
		{"sensitive", p.Sensitive, "string"},
		{"format", p.Formats != nil, "string integer"},
		{"under", p.Under != "", "string"},
		{"file", p.File, "string"},
		{"minimum", p.Minimum != nil, "integer number"},
		{"maximum", p.Maximum != nil, "integer number"},
		{"items", p.Items != nil, "array"},
		{"minItems", p.MinItems != nil, "array"},
		{"maxItems", p.MaxItems != nil, "array"},
		{"uniqueItems", p.Unique, "array"},
		{"properties", p.Properties != nil, "object"},
		{"allow_dash", p.AllowDash, "string integer number array"},
	} {
		if k.declared && !slices.Contains(strings.Fields(k.types), p.Type) {
			return k.keyword, fmt.Errorf("cannot stand with type %s; it is for type %s", p.Type, strings.ReplaceAll(k.types, " ", " or "))
		}
	}
	return "", nil
}

func (p *Param) validBounds() (string, error) {
	bounds := map[string]*any{"minimum": &p.Minimum, "maximum": &p.Maximum}
	for _, keyword := range []string{"minimum", "maximum"} {
		value := bounds[keyword]
		if *value == nil {
			continue
		}
		typed, err := (&Param{Type: p.Type}).Check(*value)
		if err != nil {
			return keyword, err
		}
		*value = typed
	}
	if p.Minimum != nil && p.Maximum != nil {
		low, _ := number(p.Minimum)
		high, _ := number(p.Maximum)
		if a, ok := p.Minimum.(int64); ok && a > p.Maximum.(int64) || low > high {
			return "minimum", fmt.Errorf("%s is greater than maximum %s", show(p.Minimum), show(p.Maximum))
		}
	}
	for _, r := range []struct {
		low, high *int
		suffix    string
	}{{p.MinLength, p.MaxLength, "Length"}, {p.MinItems, p.MaxItems, "Items"}} {
		switch {
		case r.low != nil && *r.low < 0:
			return "min" + r.suffix, errors.New("cannot be negative")
		case r.high != nil && *r.high < 0:
			return "max" + r.suffix, errors.New("cannot be negative")
		case r.low != nil && r.high != nil && *r.low > *r.high:
			return "min" + r.suffix, fmt.Errorf("%d is greater than max%s %d", *r.low, r.suffix, *r.high)
		}
	}
	return "", nil
}

func (p *Param) validText() (string, error) {
	if p.Pattern != nil && !anchored(p.Pattern) {
		return "pattern", fmt.Errorf("%s would match a part of the value; write ^(?:…)$ around it", p.Pattern)
	}
	for _, f := range p.Formats {
		switch {
		case !slices.Contains(Formats(), f):
			if near := Nearest(f, Formats()); near != "" {
				return "format", fmt.Errorf("%q is not a format; did you mean %q?", f, near)
			}
			return "format", fmt.Errorf("%q is not a format; write one of %s", f, strings.Join(Formats(), ", "))
		case p.Type == "integer" && f != "port":
			return "format", fmt.Errorf("%q cannot stand with type integer; only \"port\" can", f)
		case p.Multiline:
			return "multiline", errors.New("cannot stand with format: no format has several lines")
		case f == "path" && p.Under == "":
			return "format", errors.New(`"path" needs under, the directory that the path must lie in: under = "/srv"`)
		}
	}
	switch {
	case p.Formats != nil && len(p.Formats) == 0:
		return "format", errors.New("an empty list allows no value")
	case p.Under != "" && !slices.Contains(p.Formats, "path"):
		return "under", errors.New(`can only stand with format = "path"`)
	case p.File && !slices.Equal(p.Formats, []string{"path"}):
		return "file", errors.New(`can only stand with format = "path" and under = "/folder", from which the file is opened`)
	case p.File && p.Sensitive:
		return "sensitive", errors.New("cannot stand with file: the name of a file that is opened is no secret to its folder")
	case p.Under != "" && (!filepath.IsAbs(p.Under) || filepath.Clean(p.Under) != p.Under):
		return "under", fmt.Errorf("%q must be an absolute path without \"..\", \".\", \"//\" or a slash at its end", p.Under)
	}
	return "", nil
}

// anchored says whether a match always spans the whole text. It reads the
// parsed expression: "^a|b$" begins and ends right and still matches "ax".
func anchored(pattern *regexp.Regexp) bool {
	re, err := syntax.Parse(pattern.String(), syntax.Perl)
	return err == nil && bound(re, syntax.OpBeginText) && bound(re, syntax.OpEndText)
}

// bound says whether re can only match at the given edge of the text.
func bound(re *syntax.Regexp, edge syntax.Op) bool {
	switch re.Op {
	case edge, syntax.OpNoMatch:
		return true
	case syntax.OpCapture:
		return bound(re.Sub[0], edge)
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !bound(sub, edge) })
	case syntax.OpConcat:
		if edge == syntax.OpEndText {
			return bound(re.Sub[len(re.Sub)-1], edge)
		}
		return bound(re.Sub[0], edge)
	}
	return false
}

// validParts goes into an array's items and an object's members.
func (p *Param) validParts() (string, error) {
	if p.Type == "array" {
		if p.Items == nil {
			return "items", errors.New(`is missing; say what the list holds: items = { type = "string" }`)
		}
		if keyword, err := p.Items.validate("array"); err != nil {
			return "items." + keyword, err
		}
	}
	if p.Type == "object" && len(p.Properties) == 0 {
		return "properties", errors.New(`is missing; say what the object holds: properties = { name = { type = "string" } }`)
	}
	for _, name := range sortedNames(p.Properties) {
		if keyword, err := p.Properties[name].validate("object"); err != nil {
			return "properties." + name + "." + keyword, err
		}
	}
	return "", nil
}

// validValues holds enum and const against all other keywords, and the default
// against these too.
func (p *Param) validValues() (string, error) {
	if p.Enum != nil && len(p.Enum) == 0 {
		return "enum", errors.New("an empty list allows no value")
	}
	bare := *p
	bare.Enum, bare.Const = nil, nil
	typed := make([]any, len(p.Enum))
	for i, v := range p.Enum {
		var err error
		if typed[i], err = bare.Check(v); err != nil {
			return "enum", fmt.Errorf("value %d %w", i+1, err)
		}
	}
	if p.Enum != nil {
		p.Enum = typed
	}
	for _, v := range []struct {
		keyword string
		value   *any
		against *Param
	}{{"const", &p.Const, &bare}, {"default", &p.Default, p}} {
		if *v.value == nil {
			continue
		}
		value, err := v.against.Check(*v.value)
		if err != nil {
			return v.keyword, err
		}
		*v.value = value
	}
	if p.Sensitive && (p.Enum != nil || p.Const != nil || p.Default != nil) {
		return "sensitive", errors.New("cannot stand with enum, const or default: all who may call the action can read these")
	}
	return "", nil
}

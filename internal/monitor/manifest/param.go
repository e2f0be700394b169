package manifest

import (
	"cmp"
	"regexp"
	"slices"

	"deputy/internal/monitor/manifest/schema"
)

// params reads a table of params into all; own gets where each one stands.
func (l *loader) params(all map[string]*schema.Param, own map[string]*node) func(*node) {
	return func(n *node) {
		for _, c := range l.members(n) {
			p := l.param(c)
			if keyword, err := p.Validate(); err != nil && c.kind == isTable {
				message, remedy := split(err)
				l.fail(c.find(keyword), cmp.Or(remedy, "correct it, or what it contradicts"), "param %q: %s %s", c.key, keyword, message)
			}
			if all[c.key] = p; l.paramName(c, c.key) {
				own[c.key] = c
			}
		}
	}
}

// paramName refuses what cannot name a param, or the item of a for_each.
func (l *loader) paramName(n *node, name string) bool {
	if slices.Contains([]string{"module", "action", "signature", "authorization", "params"}, name) {
		l.failKey(n, "choose another name", "%q cannot name a param: it means something else in a request", name)
		return false
	}
	_, err := named(paramName, "a param")(name)
	l.wrongKey(n, err)
	return err == nil
}

// param reads one declaration. What its keywords may say together is judged by
// Validate.
func (l *loader) param(n *node) *schema.Param {
	p := &schema.Param{Name: n.key}
	value := func(dst *any) func(*node) {
		return func(n *node) { *dst = n.plain() }
	}
	count := func(dst **int) func(*node) {
		return func(n *node) {
			*dst = new(int)
			whole(l, *dst, 0, 1<<31-1)(n)
		}
	}
	l.table(n, "a param", fields{
		"type": l.text(&p.Type), "description": l.text(&p.Description),
		"enum": func(n *node) { p.Enum, _ = n.plain().([]any); l.mustBe(n, isList) }, "const": value(&p.Const), "default": value(&p.Default),
		"minimum": value(&p.Minimum), "maximum": value(&p.Maximum),
		"minLength": count(&p.MinLength), "maxLength": count(&p.MaxLength),
		"minItems": count(&p.MinItems), "maxItems": count(&p.MaxItems), "uniqueItems": l.flag(&p.Unique),
		"optional": l.flag(&p.Optional), "multiline": l.flag(&p.Multiline),
		"sensitive": l.flag(&p.Sensitive), "allow_dash": l.flag(&p.AllowDash),
		"pattern": into(l, &p.Pattern, expression),
		"under":   l.text(&p.Under),
		"file":    l.flag(&p.File),
		"format": func(n *node) {
			if format := ""; n.kind == isList {
				list(l, &p.Formats, sameText)(n)
			} else if l.text(&format)(n); format != "" {
				p.Formats = []string{format}
			}
		},
		"items": func(n *node) { p.Items = l.param(n) },
		"properties": func(n *node) {
			p.Properties = make(map[string]*schema.Param)
			for _, c := range l.members(n) {
				l.paramName(c, c.key)
				p.Properties[c.key] = l.param(c)
			}
		},
	})
	return p
}

// values makes a reader of a list of any values.
func (l *loader) values(dst *[]any) func(*node) {
	return func(n *node) {
		list, _ := n.plain().([]any)
		if len(list) == 0 {
			l.fail(n, `write at least one value: ["…"]`, "%q must be a list of values", n.key)
		}
		*dst = list
	}
}

func sameText(text string) (string, error) { return text, nil }

func expression(text string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		err = advise("write it in RE2's syntax, see github.com/google/re2/wiki/Syntax", "%v", err)
	}
	return re, err
}

package schema

// Validate says whether the declaration itself is sane, and brings Enum,
// Const, Default, Minimum and Maximum to p's type. keyword is the key that is
// wrong, as in the manifest, with the path to it: "items.minimum".
func (p *Param) Validate() (keyword string, err error) { return "", nil }

// Check brings a value to p's type: a string, int64, float64, bool, []any or
// map[string]any. Its error goes on from the param's name: "must be an
// integer from 1 to 65535, not \"x\"".
func (p *Param) Check(v any) (any, error) { return v, nil }

// JSONSchema is p as a JSON Schema (draft 2020-12).
func (p *Param) JSONSchema() map[string]any { return nil }

// Formats lists the values that `format` may have.
func Formats() []string { return nil }

// Keywords lists the keys that may stand in a param's declaration.
func Keywords() []string { return nil }

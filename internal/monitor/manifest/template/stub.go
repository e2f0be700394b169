package template

// Values are typed values by name: string, int64, float64, bool, []any or
// map[string]any. A name that is missing has no value.
type Values map[string]any

// Use is one place where a command names a param.
type Use struct {
	Name    string
	Spread  bool // "{name...}": the param must be a list; otherwise it must not
	Grouped bool // in a group, so the param may be optional (a spread may be so anywhere)
}

// ParseText reads a template.
func ParseText(s string) (*Text, error) { return &Text{}, nil }

// Names lists the params that t names, each once, in order.
func (t *Text) Names() []string { return nil }

// Expand puts the values in. "{params}" is all of v as one JSON object.
func (t *Text) Expand(v Values) (string, error) { return "", nil }

// ParseCommand reads `command`: a list of strings and of groups (lists of strings).
func ParseCommand(elements any) (*Command, error) { return &Command{}, nil }

// Names lists every use of a param.
func (c *Command) Names() []Use { return nil }

// Literals lists the elements without a placeholder, the program first.
func (c *Command) Literals() []string { return nil }

// Program is the first element.
func (c *Command) Program() string { return "" }

// Argv makes the arguments, the program first. dash says whether a param may
// start an argument with '-'.
func (c *Command) Argv(v Values, dash func(name string) bool) ([]string, error) { return nil, nil }

package deputy

// ActionInfo tells a caller of an action that it may use (GET /v1/actions).
type ActionInfo struct {
	Module      string         `json:"module"`
	Action      string         `json:"action"`
	Description string         `json:"description"`
	Params      map[string]any `json:"params"`   // JSON Schema (2020-12) of the object of params
	ForEach     *string        `json:"for_each"` // "item in list"
	Lock        *string        `json:"lock"`     // the lock's template
	OnBusy      *string        `json:"on_busy"`
	Stops       *string        `json:"stops"` // the action whose tasks it stops
	TimeoutMS   int64          `json:"timeout_ms"`
	MaxBody     int64          `json:"max_body"` // bytes
	Stoppable   bool           `json:"stoppable"`
	Allow       []Allowed      `json:"allow,omitempty"` // for auditors who ask for all: who may, by which rule
}

// Allowed is whom one rule gives an action, and under which conditions.
type Allowed struct {
	Rule     string           `json:"rule"`
	Users    []string         `json:"users,omitempty"`
	Groups   []string         `json:"groups,omitempty"`
	Keys     []string         `json:"keys,omitempty"`
	EndUsers []string         `json:"end_users,omitempty"` // for these alone
	Where    map[string][]any `json:"where,omitempty"`     // with these values alone
	Stop     bool             `json:"stop,omitempty"`      // may also stop what others started
	Read     bool             `json:"read,omitempty"`      // may also see it
}

// Explanation says whether a request would be allowed and what would run
// (POST /v1/explain). What stands below Allowed is for those allowed and for
// auditors.
type Explanation struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason,omitempty"` // one sentence, when not allowed
	Error   *Error `json:"error,omitempty"`  // what the request itself would be told

	Rule      string       `json:"rule,omitempty"` // file:line of the rule that allows it
	Denied    []DeniedRule `json:"denied,omitempty"`
	Tasks     []Launch     `json:"tasks,omitempty"` // what would run, one for each item
	More      int          `json:"more,omitempty"`  // tasks that would run besides and are not shown: they are many
	TimeoutMS int64        `json:"timeout_ms,omitempty"`
	WithinMS  int64        `json:"start_within_ms,omitempty"`
	GraceMS   int64        `json:"grace_ms,omitempty"`
	LingerMS  int64        `json:"linger_ms,omitempty"`
	OutputCap int64        `json:"output_cap,omitempty"` // bytes
	Warnings  []string     `json:"warnings,omitempty"`   // of what the action allows, and may be more than was meant
}

// DeniedRule is a rule that does not hold for a request, and why.
type DeniedRule struct {
	Rule   string `json:"rule"` // file:line
	Reason string `json:"reason"`
}

// Launch is what one task would run. Sensitive values do not stand in it.
type Launch struct {
	Argv      []string `json:"argv"`
	User      string   `json:"user"`
	Groups    []string `json:"groups,omitempty"`
	Directory string   `json:"directory"`
	Env       []string `json:"env"` // NAME=value
	Lock      *string  `json:"lock"`
	Stops     *string  `json:"stops,omitempty"` // it starts nothing: tasks of this action that hold Lock are stopped

	Files []LaunchFile `json:"files,omitempty"` // opened for it at its start
}

// LaunchFile is a file that a task gets opened, if it is a regular file that its
// user may read.
type LaunchFile struct {
	Descriptor int    `json:"descriptor"` // 0 is stdin
	Under      string `json:"under"`      // from here on no link is followed
	Path       string `json:"path"`       // from there on
}

package request

import (
	"strings"

	"deputy"
	"deputy/internal/wall"
)

// What may be asked of the monitor over HTTP is one table, Routes: the server asks over
// the wall by it, and the monitor does by it what is signed. Its rows say nothing of who
// may: that says the row of the verb.

// Limit is the longest body for an action, in bytes; nil: the body was held against it
// before.
type Limit func(module, action string) int

// Route is a way to ask for a verb.
//
// A new verb of operators needs its row in package wall, its handler in the monitor, and
// its line here, by which it is served over HTTP, and signed:
//
//	{Method: "POST", Path: "/v1/pause", Verb: wall.Pause, Read: readPause, Answer: func(o *wall.Outcome) any { return o.Pause }},
type Route struct {
	Method string
	Path   string // {module}, {action}, {id} stand for one segment
	Verb   wall.Kind

	// Read reads what is asked for beyond the verb, from a target that has the form of
	// Path; nil: nothing is.
	Read func(at Target, body []byte, limit Limit) (asked wall.Request, err error)

	// Answer gives what is told over HTTP of an outcome without an error, and Status with
	// which status, 0 for 200. nil: the front door makes its own of it.
	Answer func(*wall.Outcome) any
	Status int

	segments []string
}

// Table is what may be asked for. Of two routes of the same form the first holds.
type Table []Route

// Routes makes the table, with more routes behind its own.
func Routes(more ...Route) Table {
	table := append(Table{
		{Method: "GET", Path: "/v1/actions", Verb: wall.Actions, Read: readList},
		{Method: "GET", Path: "/v1/actions/{module}/{action}", Verb: wall.Actions},
		{Method: "POST", Path: "/v1/actions/{module}/{action}", Verb: wall.Call, Read: readAction},
		{Method: "POST", Path: "/v1/explain/{module}/{action}", Verb: wall.Explain, Read: readExplain},
		{Method: "POST", Path: "/v1/tasks/{id}/stop", Verb: wall.Stop, Read: readStop},
		{Method: "POST", Path: "/v1/reload", Verb: wall.Reload, Answer: func(o *wall.Outcome) any { return map[string]string{"digest": o.Digest} }},
		{Method: "POST", Path: "/v1/drain", Verb: wall.Drain, Read: readDrain, Answer: func(o *wall.Outcome) any { return o.Drain }},
		{Method: "GET", Path: "/v1/queues", Verb: wall.Queues, Read: readNothing, Answer: func(o *wall.Outcome) any {
			return map[string]any{"queues": append([]deputy.Queue{}, o.Queues...)}
		}},
		{Method: "POST", Path: "/v1/queues/{name}", Verb: wall.Queue, Read: readPause, Answer: func(o *wall.Outcome) any { return o.Queues[0] }},
		// Once it is answered it is under way: the end of the server that answers is part of it.
		{Method: "POST", Path: "/v1/upgrade", Verb: wall.Upgrade, Answer: func(o *wall.Outcome) any { return o.Upgrade }, Status: 202},
	}, more...)
	for i := range table {
		table[i].segments = Segments(table[i].Path)
	}
	return table
}

// Segments takes a path apart as Target.Is has it: "*" for each {name}.
func Segments(path string) []string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i := range segments {
		if strings.HasPrefix(segments[i], "{") {
			segments[i] = "*"
		}
	}
	return segments
}

// Read reads what a request asks the monitor for. What only the answer's form depends
// on is not read here. Whatever is no POST reads, and where no route says what, it is
// who may see what: the server serves it, and has to know for whom.
func (t Table) Read(method string, at Target, body []byte, limit Limit) (asked wall.Request, err error) {
	if method != "POST" {
		method, asked.Kind = "GET", wall.Rights
	}
	for i := range t {
		r := &t[i]
		if r.Method != method || !at.Is(r.segments...) {
			continue
		}
		if r.Read != nil {
			asked, err = r.Read(at, body, limit)
		}
		asked.Kind = r.Verb
		return asked, err
	}
	if method == "POST" {
		err = deputy.Refuse(deputy.UnknownAction, "cannot do POST %.100q: there is no such path", "/"+strings.Join(at.Path, "/"))
	}
	return asked, err
}

package wall

import "deputy"

// A field of a message is one member of Request. How it is written follows from the
// member's type alone, both ways: a message has one form.

// field names a member of Request.
type field uint8

const (
	version field = iota
	from
	id
	connection
	module
	action
	key
	endUser
	as
	all
	params // the last of its message: its values are all that is left
	task
	tasks
	grace
	force
	on
	queue
	transport
	authorization
	method
	target
	body
)

// limits are how many bytes a field of text, or of bytes, may have at most. The others
// have no choice, but for values: each of their names is held to MaxName, and the whole
// to the frame.
var limits = [...]int{
	module: MaxName, action: MaxName, key: MaxName, endUser: MaxName, as: MaxName, task: MaxName, queue: MaxName,
	tasks:     MaxName, // each
	transport: MaxName, authorization: MaxName, method: MaxName, target: MaxTarget, body: MaxFrame,
}

// member is where a field of r lies.
func (r *Request) member(f field) any {
	switch f {
	case version:
		return &r.Version
	case from:
		return &r.From
	case id:
		return &r.ID
	case connection:
		return &r.Connection
	case module:
		return &r.Module
	case action:
		return &r.Action
	case key:
		return &r.Key
	case endUser:
		return &r.EndUser
	case as:
		return &r.As
	case all:
		return &r.All
	case params:
		return &r.Params
	case task:
		return &r.Task
	case tasks:
		return &r.Tasks
	case grace:
		return &r.GraceMS
	case force:
		return &r.Force
	case on:
		return &r.On
	case queue:
		return &r.Queue
	case transport:
		return &r.Transport
	case authorization:
		return &r.Authorization
	case method:
		return &r.Method
	case target:
		return &r.Target
	case body:
		return &r.Body
	}
	return nil
}

// fields appends those of r that its row has.
func (e *encoder) fields(r *Request, verb *Verb) error {
	for _, f := range verb.fields {
		switch p := r.member(f).(type) {
		case *uint32:
			e.u32(*p)
		case *uint64:
			e.u64(*p)
		case *int64:
			e.u64(uint64(*p))
		case *bool:
			e.flag(*p)
		case *string:
			e.text(*p)
		case *[]string:
			e.u32(uint32(len(*p)))
			for _, s := range *p {
				e.text(s)
			}
		case *Transport:
			e.text(string(*p))
		case *[]byte:
			e.u32(uint32(len(*p)))
			e.b = append(e.b, *p...)
		case *deputy.Params:
			if err := e.object(*p); err != nil {
				return err
			}
		}
	}
	return nil
}

// fields reads those of r that its row has. Values stay as they came: see Unpack.
func (d *decoder) fields(r *Request, verb *Verb) {
	for _, f := range verb.fields {
		switch p := r.member(f).(type) {
		case *uint32:
			*p = d.u32()
		case *uint64:
			*p = d.u64()
		case *int64:
			*p = int64(d.u64())
		case *bool:
			*p = d.flag()
		case *string:
			*p = d.text(limits[f])
		case *[]string:
			*p = d.texts(MaxWaits, limits[f])
		case *Transport:
			*p = Transport(d.text(limits[f]))
			if *p != HTTP && *p != Line && *p != Legacy {
				d.fail("a signed request over an unknown transport")
			}
		case *[]byte:
			*p = d.bytes(limits[f])
		case *deputy.Params:
			r.Packed, d.b = d.b, nil
			if len(r.Packed) == 0 {
				d.fail("a message of kind %d without values", r.Kind)
			}
		}
	}
}

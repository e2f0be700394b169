package wall

// What the server sends is this table alone: its messages are encoded and decoded by
// their rows, and the monitor serves and refuses by them. What has no row, and what a
// row does not grant, nobody may.

// Access says who may ask for a verb, so far as that hangs on nothing but the verb.
type Access uint8

const (
	undeclared Access = iota // a message of such a row breaks the protocol, and the monitor does not start
	Opening                  // the server itself, once, before all else; it is not answered
	Anyone                   // the server in nobody's name: nothing of anybody is told, nothing is changed
	Server                   // the server itself, in a turn: it is told no more than follows from the journal, which it has; nothing is changed
	Signer                   // whoever has signed what it carries, which is then asked for by a row of its own
	Caller                   // whoever is known to the monitor; what for is decided by the policy
	Operator                 // operators alone
)

// Verb is a row of the table.
type Verb struct {
	Name   string
	Access Access
	Reads  bool    // it changes nothing, whatever it is answered
	fields []field // of its message, in their order
}

// verbs has a row for each kind of message that the server sends. What it asks for in a
// caller's name begins with its own number for the request and that of the caller's
// connection.
var verbs = [...]Verb{
	Hello:  {Name: "hello", Access: Opening, fields: []field{version}}, // first
	Follow: {Name: "follow", Access: Opening, fields: []field{from}},   // second: the journal is streamed from there on

	Call:    {Name: "call", Access: Caller, fields: []field{id, connection, module, action, key, endUser, params}},
	Stop:    {Name: "stop", Access: Caller, fields: []field{id, connection, task, grace, force, endUser}},
	Explain: {Name: "explain", Access: Caller, Reads: true, fields: []field{id, connection, module, action, as, endUser, params}},
	Actions: {Name: "actions", Access: Caller, Reads: true, fields: []field{id, connection, all}},
	Rights:  {Name: "rights", Access: Caller, Reads: true, fields: []field{id, connection, endUser}},

	Reload:  {Name: "reload", Access: Operator, fields: []field{id, connection}},
	Drain:   {Name: "drain", Access: Operator, fields: []field{id, connection, on}},
	Upgrade: {Name: "upgrade", Access: Operator, fields: []field{id, connection}},

	Queues: {Name: "queues", Access: Caller, Reads: true, fields: []field{id, connection, endUser}},
	Queue:  {Name: "pause", Access: Operator, fields: []field{id, connection, queue, on}},

	Waits:  {Name: "waits", Access: Server, Reads: true, fields: []field{id, tasks}},
	Ping:   {Name: "ping", Access: Anyone, Reads: true, fields: []field{id}}, // the loop answers that it goes round
	Signed: {Name: "signed", Access: Signer, fields: []field{id, transport, authorization, method, target, key, endUser, body}},
}

// Verbs gives the rows of the table.
func Verbs() map[Kind]Verb {
	rows := map[Kind]Verb{}
	for kind, verb := range verbs {
		if verb.Name != "" {
			rows[Kind(kind)] = verb
		}
	}
	return rows
}

// row is that of a kind; of one that the server does not send it is empty.
func (k Kind) row() *Verb {
	if int(k) < len(verbs) {
		return &verbs[k]
	}
	return &verbs[0]
}

// String is the verb's name.
func (k Kind) String() string { return k.row().Name }

// Access is the verb's.
func (k Kind) Access() Access { return k.row().Access }

// Reads says whether a request of this kind changes nothing, whatever it is answered.
func (k Kind) Reads() bool { return k.row().Reads }

// Package wall is the protocol between the monitor, which is privileged, and
// the server, which is not: both ends of it.
//
// Two sockets join them. Over the door (SOCK_SEQPACKET) the monitor passes each
// connection it has accepted and identified, under a number that is never used
// again. Over the stream (SOCK_STREAM) run the messages below, each framed as
// a length (4 bytes, little endian, of what follows), a kind (1 byte) and the
// fields of that kind in their order.
//
//	server                                   monitor
//	  hello(version) ───────────────────────▶
//	  ◀─────────────────────────── greeting{version, directories, …}
//	  follow(from) ─────────────────────────▶
//	  ◀──────────────────────── record(seq, line), record, … for ever
//	  ◀═══ door: connection(number, uid, owner) and its descriptor, whenever one comes
//	  call(id, connection, module, action, …) ▶
//	  ◀───────────────────────────── answer(id, seq, outcome)
//
// What the server sends are the rows of verbs (verb.go). The monitor sends:
//
//	message   fields
//	greeting  JSON                                first and once
//	record    seq u64, the journal's line
//	answer    id u64, seq u64, JSON of an Outcome
//	policy    digest: rights and actions asked for before are void
//	draining  on bool: whether nothing new is taken
//
// Integers are little endian, a flag is one byte, text is UTF-8 behind its length (u32),
// values are an object that the codec describes.
//
// The server names a caller only by the number of a connection, or passes on a
// signed request whole: the monitor verifies it over the exact bytes, and only
// then reads from it what is asked for. The server gives an
// answer to its client only after it has applied every record up to the
// answer's seq. The monitor kills a server that sends anything else than what
// stands here; it never kills one for a value that is merely refused.
package wall

import "deputy"

// Version is that of this protocol. Monitor and server come from one build;
// the version guards against a binary that was left behind.
const Version = 3

// Limits of what the monitor reads, so that a hostile server costs it no more.
const (
	MaxFrame   = 20 << 20 // bytes of a frame; the largest max_body is 16 MiB
	MaxName    = 1024     // bytes of any field but a value
	MaxTarget  = 16 << 10 // bytes of a signed request's target
	MaxDepth   = 32       // lists and objects within one another
	MaxItems   = 1 << 17  // values in one message
	MaxPending = 4096     // requests that are not answered yet
	MaxHeld    = 32 << 20 // bytes of them; the largest alone is always taken
	MaxAnswer  = 4 << 20  // bytes of an answer
	MaxWaits   = 1000     // tasks that one Waits asks about
	MaxUnsent  = 8 << 20  // bytes of answers that the server has not read, until nothing more is made for it
)

// Kind is the kind of a message.
type Kind uint8

// What the server sends; each has its row in verbs.
const (
	Hello Kind = 1 + iota
	Follow
	Call
	Stop
	Explain
	Actions
	Rights
	Reload
	Signed
	Drain
	Upgrade
	Ping
	Queues
	Queue
	Waits
)

// Transport says how a signed request came, and so what its signature covers.
type Transport string

const (
	HTTP   Transport = "http"   // Deputy1 over method, target, headers and body
	Line   Transport = "line"   // Deputy1 over all behind the Authorization line of a 'Key: Value' message
	Legacy Transport = "legacy" // the original's scheme: the body is the whole message
)

// What the monitor sends.
const (
	GreetingKind Kind = 64 + iota
	RecordKind
	AnswerKind
	PolicyKind
	DrainingKind
)

// Request is a message of the server. Which members are set follows from the row of
// its kind: see verbs.
type Request struct {
	Kind       Kind
	ID         uint64 // chosen by the server, returned in the answer
	Connection uint64
	Version    uint32 // Hello
	From       uint64 // Follow: first sequence number wanted

	Module, Action string
	Key            string // Idempotency-Key; empty: none
	EndUser        string // empty: none
	As             string // Explain: on whose behalf; empty: the connection's own
	All            bool   // Actions: those of everybody, for an auditor
	Params         deputy.Params

	Task    string
	Tasks   []string // Waits: ids
	GraceMS int64    // Stop: -1 is the declared one
	Force   bool     // Stop: although it is declared not stoppable; operators
	On      bool     // Drain: false ends it; Queue: it is paused
	Queue   string   // Queue: its name

	Transport     Transport // Signed, and what follows
	Authorization string    // the header's value
	Method        string
	Target        string // as sent
	Body          []byte // the exact bytes

	Packed []byte        // the monitor's own: Params as they came, until Unpack
	Size   int           // the monitor's own: bytes that the frame had
	Nonce  *deputy.Nonce // the monitor's own: of a signature that it has verified; never on the wall
}

// Greeting tells the server what it needs to know of the installation.
type Greeting struct {
	Version     int      `json:"version"`
	Release     string   `json:"release"`     // deputy.Version of the monitor
	Name        string   `json:"name"`        // [server] name
	TasksDir    string   `json:"tasks_dir"`   // holds ID/stdout and ID/stderr
	HistoryDir  string   `json:"history_dir"` // the server's own directory
	StateDir    string   `json:"state_dir"`
	ConfigDir   string   `json:"config_dir"`
	Proof       string   `json:"proof"`       // "cgroup" or "subreaper"
	Weakness    string   `json:"weakness"`    // which promise is weaker, and the remedy; empty: none
	Policy      string   `json:"policy"`      // digest
	Draining    bool     `json:"draining"`    // nothing new is taken
	MaxBody     int64    `json:"max_body"`    // the largest of any action, bytes
	Connections int      `json:"connections"` // that one caller may have open
	Last        uint64   `json:"last"`        // the journal's last durable sequence number
	HTTP        []string `json:"http"`        // addresses to listen on; empty where no key exists
	HTTPS       []string `json:"https"`
	Line        []string `json:"line"`        // addresses where 'Key: Value' is spoken; its Unix sockets are the monitor's
	Certificate string   `json:"certificate"` // [tls], absolute paths
	TLSKey      string   `json:"tls_key"`
	ClientCA    string   `json:"client_ca"`
	Started     string   `json:"started"`      // when the monitor began, as JSON shows times
	Recent      uint64   `json:"recent"`       // first record of a segment not long before Last
	CgroupTasks string   `json:"cgroup_tasks"` // path within the cgroup2 mount under which attempts live; empty: none
}

// Outcome is what the monitor answers. Error, or what was asked for.
type Outcome struct {
	Error    *deputy.Error       `json:"error,omitempty"`
	Tasks    []string            `json:"tasks,omitempty"`    // Call, Stop: ids, in the order of the items
	Replayed bool                `json:"replayed,omitempty"` // Call: the same Idempotency-Key was answered so before
	Survives bool                `json:"survives,omitempty"` // Stop: something still lives
	Receipt  *deputy.Receipt     `json:"receipt,omitempty"`  // Stop that Survives: as far as it got
	Rights   *deputy.Rights      `json:"rights,omitempty"`   // Rights; Signed: of the key that asked, once it is verified
	Actions  []deputy.ActionInfo `json:"actions,omitempty"`
	Explain  *deputy.Explanation `json:"explain,omitempty"`
	Digest   string              `json:"digest,omitempty"` // Reload
	Drain    *deputy.Drain       `json:"drain,omitempty"`  // Drain
	Upgrade  *Upgraded           `json:"upgrade,omitempty"`
	Queues   []deputy.Queue      `json:"queues,omitempty"` // Queues, Queue
	Beat     *Beat               `json:"beat,omitempty"`   // Ping

	Waits map[string]*deputy.Waiting `json:"waits,omitempty"` // Waits: by id, of those that wait; each names what it waits for, whoever may see that
}

// Beat is what the monitor's loop says of itself.
type Beat struct {
	LogLost  uint64 `json:"log_lost"`           // lines that could not be written to its log
	Refusing string `json:"refusing,omitempty"` // why nothing new is accepted, but for a drain
}

// Upgraded is what an accepted Upgrade leads from and to.
type Upgraded struct {
	From string `json:"from"` // deputy.Version
	To   string `json:"to"`
}

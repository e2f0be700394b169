//go:build linux

package house_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// What is exposed as root is what somebody else's bytes reach. For each kind of bytes it is
// counted how many lines of deputy's functions read them or act on them, on Linux: all that
// can be reached from the functions that get the bytes first, up to where a record, an order
// or a number is all that goes on. A budget that is exceeded is no error by itself; it says
// that more of root's code must be right than was agreed on.

// exposure is a kind of bytes.
type exposure struct {
	bytes string
	limit int // lines
	from  []string
	stops map[string]string // functions or packages that are not counted, and why not
}

// exposures are all kinds of bytes that others have a hand in.
var exposures = []exposure{
	{
		bytes: "bytes of nobody knows whom, up to the kernel's word or a verified MAC",
		limit: 700,
		from: []string{
			"(*monitor/reception.Reception).Run", // a connection is accepted, identified, passed on
			"(*monitor/signers.Signers).Signer",  // whose turn a signed request waits for
			"(*monitor/signers.trust).verify",    // the MAC, of a legacy message too
		},
		stops: map[string]string{
			"(*monitor/callers.Callers).Account": "whose account a number belongs to is read from root's files",
			"(*monitor/policy.Policy).Operator":  "who is an operator is read from root's files",
		},
	},
	{
		bytes: "callers' values, and whatever a hostile server sends",
		limit: 2900,
		from: []string{
			"(*wall.Peer).Greet", "(*wall.Peer).Receive", "(*wall.Request).Unpack", // the server's stream
			"(*monitor/signers.trust).askedFor",    // a verified body
			"(*monitor/admission.Admission).Judge", // policy and schema
			"(*monitor/admission.Admission).Call",  // the loop's part: locks, limits, the record
			"(*monitor/admission.Admission).Stop",  // of a task that somebody names
			"(*monitor/admission.Admission).Explain",
			"(*monitor/admission.Admission).Denied",
		},
		stops: map[string]string{
			"monitor/ledger":                         "the record is made: the journal takes it as JSON",
			"monitor/loop":                           "the loop calls what is posted, and looks at nothing in it",
			"monitor/clock":                          "it gives the time",
			"monitor/turns":                          "it counts requests of a caller",
			"monitor/callers":                        "it counts what a number has, by root's files",
			"monitor/userdb":                         "names and groups are read from root's files and what getent says",
			"monitor/tasks":                          "it is given an order and the id of a task that there is",
			"monitor/queues":                         "it counts tasks of queues that are declared",
			"output.MakeFolder":                      "it makes a task's folder, which is named by its id",
			"(*monitor/policy.Policy).Actions":       "it tells what is declared, and reads no value",
			"(*monitor/policy.Policy).Rights":        "it tells what rules grant, and reads no value",
			"(*monitor/policy.Policy).Everybody":     "it tells what rules grant, and reads no value",
			"monitor/policy.describe":                "it tells what is declared, and reads no value",
			"(*monitor/requests.reply).Refuse":       "it sends what was decided",
			"(*monitor/requests.signedReply).Refuse": "it sends what was decided, and notes the nonce",
		},
	},
	{
		bytes: "what a task can influence: its processes, its output, its result",
		limit: 2400,
		from: []string{
			"(*monitor/process.Host).poll", // news of its processes
			"(*monitor/process.Host).Signal", "(*monitor/process.Host).Kill", "(*monitor/process.Host).Survivors", "(*monitor/process.Host).Hurry",
			"(*monitor/process.Host).FindFirst", "(*monitor/process.Host).Newborn", "(*monitor/process.Host).NeverBorn",
			"(*monitor/process.Host).ForeignExit", "(*monitor/process.Host).Release",
			"(*monitor/process.reaper).run",                   // the subreaper above it, where there is no cgroup
			"(*monitor/keeper.keeper).reap",                   // what it leaves to the keeper
			"(*monitor/tasks.Tasks).Heard",                    // what the loop does about it
			"(*monitor/tasks.Tasks).Exited",                   // the keeper's word
			"(*monitor/tasks.Tasks).recordEnd",                // its end, with what is said of its output
			"(*monitor/tasks.Tasks).ended",                    // once that is durable
			"(*output.Capper).run", "(*output.Capper).Finish", // its output, while it writes and at its end
			"(*monitor/space.Keeper).Shelve", // how large that is
		},
		stops: map[string]string{
			"monitor/ledger":                        "the record is made: the journal takes it as JSON",
			"monitor/loop":                          "the loop calls what is posted, and looks at nothing in it",
			"monitor/clock":                         "it gives the time",
			"monitor/callers":                       "whose account a number belongs to is read from root's files",
			"(*monitor/queues.Queues).Serve":        "the next for its place begins: that is another task",
			"(*monitor/tasks.Tasks).begin":          "the next for its lock begins: that is another task",
			"(*monitor/tasks.Task).tell":            "whoever waits for its end is told that it is recorded",
			"(*monitor.Monitor).quiet":              "a monitor that was told to end does so",
			"(*monitor/keeper.keeper).monitorEnded": "the end of the monitor, not of a task",
			"(*monitor/keeper.Link).Drop":           "a descriptor is dropped by its name, which deputy has given",
		},
	},
}

// Of others' code nothing but x/sys, which makes system calls, may be reached there.
const onlyLibrary = "golang.org/x/sys/unix"

func TestFewLinesReadWhatOthersSend(t *testing.T) {
	g := callGraph(t)
	for _, e := range exposures {
		reached := g.reach(t, e.from, slices.Collect(maps.Keys(e.stops)))
		sum, each := g.lines(t, reached)
		t.Logf("%s: %d of %d lines\n%s", e.bytes, sum, e.limit, most(each))
		if sum > e.limit {
			t.Errorf("%s reach %d lines of root's code, at most %d are allowed: let the server do it, or find less to do\n%s", e.bytes, sum, e.limit, most(each))
		}
		for i := range reached {
			f := g.functions[i]
			first, _, _ := strings.Cut(f.Package, "/")
			if strings.Contains(first, ".") && f.Package != onlyLibrary {
				t.Errorf("%s reach %s: code of others does not read them", e.bytes, f.Name)
			}
		}
	}
}

// most lists packages by how many lines of them were counted.
func most(each map[string]int) string {
	var b strings.Builder
	for _, p := range slices.SortedFunc(maps.Keys(each), func(a, b string) int { return cmp.Or(each[b]-each[a], strings.Compare(a, b)) }) {
		fmt.Fprintf(&b, "\t%5d %s\n", each[p], p)
	}
	return b.String()
}

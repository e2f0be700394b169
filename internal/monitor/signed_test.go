package monitor

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/site"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// verifier is a monitor without tasks and without a server: requests go in as
// from the wall, answers come out as onto it. Its journal is a real one.
type verifier struct {
	*Monitor
	t       *testing.T
	dir     string
	now     time.Time           // its clock
	secrets map[string][]string // of each key, the newest first
	peer    *wall.Peer
	answers chan wall.Outcome
	stopped chan struct{}
}

const verifierConfig = `[server]
name = "gate1"
[defaults]
per_caller = { live = 100000, rate = "1000000/s", connections = 100 }
[key.panel]
names_end_user = true
[key.old]
legacy = true
[key.boss]
operator = true
`

// An action that stops another's tasks starts nothing, and needs no host.
const verifierModule = `[allow]
keys = ["panel", "site", "old"]
[action.run]
lock = "{n}"
command = ["/bin/sleep", "1000"]
params.n = { type = "integer" }
[action.stop]
lock = "{n}"
stops = "run"
params.n = { type = "integer" }
[action.other]
lock = "{n}"
stops = "run"
params.n = { type = "integer" }
[[action.other.allow]]
users = ["root"]
`

func newVerifier(t *testing.T) *verifier {
	t.Helper()
	v := &verifier{t: t, dir: t.TempDir(), now: time.Unix(1_800_000_000, 0), secrets: map[string][]string{
		"panel": {strings.Repeat("a1", 32), strings.Repeat("b2", 32)}, "site": {strings.Repeat("c3", 32)},
		"stranger": {strings.Repeat("d4", 32)}, "old": {"an old secret"}, "boss": {strings.Repeat("e5", 32)},
	}}
	for name, text := range map[string]string{"deputy.toml": verifierConfig, "modules.d/m.toml": verifierModule} {
		path := filepath.Join(v.dir, "etc", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, list := range v.secrets {
		v.writeKey(name, list...)
	}
	v.begin()
	t.Cleanup(func() { v.end(true) })
	return v
}

func (v *verifier) writeKey(name string, list ...string) {
	v.t.Helper()
	path := filepath.Join(v.dir, "etc", "keys", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		v.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Join(list, "\n")+"\n"), 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// begin starts a monitor on the directory, as a restart does.
func (v *verifier) begin() {
	v.t.Helper()
	v.Monitor = New(Options{
		Paths: site.Under(filepath.Join(v.dir, "etc"), filepath.Join(v.dir, "var")), Up: true,
		Log: log.New(io.Discard, "", 0), Now: func() time.Time { return v.now },
	})
	if err := os.MkdirAll(filepath.Join(v.dir, "var", "journal"), 0o755); err != nil {
		v.t.Fatal(err)
	}
	seal, _, err := v.o.Paths.OpenSeal()
	if err != nil {
		v.t.Fatal(err)
	}
	v.signers.ReadFrom(v.o.Paths.Keys(), seal)
	v.load()
	v.makeRooms(seal)
	if _, err := v.openJournal(true, nil); err != nil {
		v.t.Fatal(err)
	}
	v.answers, v.stopped = make(chan wall.Outcome, wall.MaxPending), make(chan struct{})
	v.peer = wall.NewPeer(&answered{v.answers})
	go v.peer.Write(noRecords{})
	go func(m *Monitor, stopped chan struct{}) {
		defer close(stopped)
		m.loop.Run()
	}(v.Monitor, v.stopped)
}

func (v *verifier) load() {
	v.t.Helper()
	set, _, err := manifest.Load(v.loadOptions())
	if err != nil {
		v.t.Fatal(err)
	}
	v.adopt(set)
	v.adoptKeys(v.signers.ReadKeys())
}

// end ends the monitor: in good order, or as a crash does.
func (v *verifier) end(orderly bool) {
	v.t.Helper()
	v.post(func() {
		if orderly {
			v.Monitor.end()
		} else {
			v.loop.End()
		}
	})
	<-v.stopped
	v.peer.Close()
	if err := v.journal.Close(); err != nil {
		v.t.Error(err)
	}
}

// ask serves requests, one after another, and gives their answers in order.
func (v *verifier) ask(requests ...wall.Request) []wall.Outcome {
	v.t.Helper()
	all := make([]wall.Outcome, 0, len(requests))
	for chunk := range slices.Chunk(requests, wall.MaxPending/2) {
		for _, r := range chunk {
			v.requests.Signed(v.peer, &r)
		}
		for range chunk {
			select {
			case o := <-v.answers:
				all = append(all, o)
			case <-time.After(30 * time.Second):
				v.t.Fatal("no answer")
			}
		}
	}
	return all
}

// answered takes the frames that a server would.
type answered struct{ to chan wall.Outcome }

func (a *answered) Read([]byte) (int, error) { select {} }

func (a *answered) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := 4 + int(binary.LittleEndian.Uint32(rest))
		var o wall.Outcome
		if err := json.Unmarshal(rest[4+1+8+8:n], &o); err != nil {
			return 0, err
		}
		a.to <- o
		rest = rest[n:]
	}
	return len(p), nil
}

// noRecords is a journal that streams no records.
type noRecords struct{}

func (noRecords) Next(int) ([][]byte, uint64, error) { return nil, 1, nil }

// sign makes a request as the server passes it on.
func (v *verifier) sign(key, secret string, transport wall.Transport, method, target, idempotency, endUser, body string) wall.Request {
	r := wall.Request{Kind: wall.Signed, Transport: transport, Method: method, Target: target, Key: idempotency, EndUser: endUser, Body: []byte(body)}
	covered := signature.Request{Method: method, Audience: "gate1", Target: target, IdempotencyKey: idempotency, EndUser: endUser, Body: r.Body}
	if transport == wall.Line {
		r.Method, r.Target, r.Key, r.EndUser = "", "", "", ""
		covered = signature.Request{Method: "TCP", Audience: "gate1", Target: "/", Body: r.Body}
	}
	r.Authorization = signature.Sign(key, []byte(secret), v.now.Unix(), covered).String()
	return r
}

// some makes a valid request of any kind.
func (v *verifier) some(random *rand.Rand) wall.Request {
	key, user := "site", ""
	if random.IntN(2) == 0 {
		key = "panel"
		user = []string{"", "alice", "bob"}[random.IntN(3)]
	}
	secret := v.secrets[key][random.IntN(min(2, len(v.secrets[key])))]
	n := random.IntN(1000)
	idempotency := ""
	if random.IntN(4) == 0 {
		idempotency = fmt.Sprint("key-", random.IntN(1<<30))
	}
	post := func(path, body string) wall.Request {
		return v.sign(key, secret, wall.HTTP, "POST", path, idempotency, user, body)
	}
	switch random.IntN(8) {
	case 0:
		return v.sign(key, secret, wall.HTTP, "GET", fmt.Sprint("/v1/tasks?limit=", n), "", user, "")
	case 1:
		return v.sign(key, secret, wall.HTTP, "GET", "/v1/actions", "", user, "")
	case 2:
		return post("/v1/explain/m/stop", fmt.Sprintf(`{"n":%d}`, n))
	case 3:
		return post(fmt.Sprint("/v1/tasks/", n, "/stop"), `{"grace":"5s"}`)
	case 4:
		return post("/v1/actions/m/other", fmt.Sprintf(`{"n":%d}`, n)) // not allowed
	case 5:
		return post("/v1/actions/m/stop", `{"n":"one"}`) // not acceptable
	case 6:
		return v.sign(key, secret, wall.Line, "", "", "", "", fmt.Sprintf("module: m\naction: stop\nn: %d\n\n", n))
	}
	return post("/v1/actions/m/stop", fmt.Sprintf(`{"n":%d}`, n))
}

// mutate changes a request in what the signature is about. It gives false where
// the result means the same as before.
func (v *verifier) mutate(random *rand.Rand, r, other wall.Request) (wall.Request, bool) {
	before := r
	r.Body = slices.Clone(r.Body)
	bytesOf := func(s string) string { return string(scramble(random, []byte(s))) }
	http := r.Transport == wall.HTTP
	switch n := random.IntN(12); {
	case n < 3:
		r.Authorization = bytesOf(r.Authorization)
	case n == 3:
		r.Body = scramble(random, r.Body)
	case n == 4:
		r.Authorization = other.Authorization
	case n == 5:
		r.Body = slices.Clone(other.Body)
	case n == 6 && http:
		r.Target = bytesOf(r.Target)
	case n == 7 && http:
		r.Method = []string{"GET", "POST", "HEAD", "PUT", "post", "TCP", ""}[random.IntN(7)]
	case n == 8 && http:
		r.Key = bytesOf(r.Key)
	case n == 9 && http:
		r.EndUser = []string{"", "alice", "bob", "alice\n", "\nalice", "carol"}[random.IntN(6)]
	case n == 10: // a field's end moves
		if http && len(r.Target) > 1 {
			cut := 1 + random.IntN(len(r.Target)-1)
			r.Target, r.Key = r.Target[:cut], r.Target[cut:]+r.Key
		}
	default:
		r.Transport = []wall.Transport{wall.HTTP, wall.Line, wall.Legacy}[random.IntN(3)]
	}
	same := r.Transport == before.Transport && r.Authorization == before.Authorization && string(r.Body) == string(before.Body) &&
		r.Method == before.Method && r.Target == before.Target && r.Key == before.Key && r.EndUser == before.EndUser
	// Another valid request is no mutation, if an unlikely one.
	return r, !same && r.Authorization+string(r.Body) != other.Authorization+string(other.Body)
}

// scramble changes, adds, drops or doubles some bytes.
func scramble(random *rand.Rand, b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + random.IntN(3) {
		at := random.IntN(len(b) + 1)
		switch random.IntN(5) {
		case 0:
			b = slices.Insert(b, at, byte(random.IntN(256)))
		case 1:
			b = slices.Insert(b, at, []byte(" \n\r,=0aA")[random.IntN(8)])
		case 2:
			if at < len(b) {
				b = slices.Delete(b, at, at+1)
			}
		case 3:
			if at < len(b) {
				b[at] ^= 1 << random.IntN(8)
			}
		case 4:
			if at < len(b) {
				b = slices.Insert(b, at, b[at])
			}
		}
	}
	return b
}

// unauthenticated says whether a request was refused for its signature, or the
// time at which it was made.
func unauthenticated(o wall.Outcome) bool {
	return o.Error != nil && (o.Error.Code == deputy.NotAuthenticated || tooEarly(o))
}

// tooEarly says whether a request was signed before this monitor knows what was
// used: a fresh signature is good soon.
func tooEarly(o wall.Outcome) bool {
	return o.Error != nil && o.Error.Code == deputy.NotDurable && o.Error.RetryAfter > 0 && strings.Contains(o.Error.Detail, "before deputy was started")
}

// A million messages that differ from a signed one in what it says, or in how
// it is signed: none is accepted, none leaves a trace, and the signed ones work
// all the while.
func TestAMillionMutatedMessages(t *testing.T) {
	v := newVerifier(t)
	random := rand.New(rand.NewPCG(3, 1))
	const batch = 2000
	mutated, wrong := 0, 0
	for mutated < 1_000_000 {
		var requests []wall.Request
		first, second := v.some(random), v.some(random)
		for len(requests) < batch {
			if r, changed := v.mutate(random, first, second); changed {
				requests = append(requests, r)
			}
			if len(requests)%64 == 0 {
				first, second = v.some(random), first
			}
		}
		last := v.lastSeqNow()
		for i, o := range v.ask(requests...) {
			if !unauthenticated(o) {
				if wrong++; wrong < 10 {
					t.Errorf("accepted: %+v, answered %+v", requests[i], o)
				}
			}
		}
		if now := v.lastSeqNow(); now != last {
			t.Fatalf("%d records were made of messages that nobody signed", now-last)
		}
		mutated += batch
		if good := v.ask(first)[0]; unauthenticated(good) {
			t.Fatalf("a signed request is refused: %+v, %+v", first, good.Error)
		}
		v.now = v.now.Add(time.Second)
	}
}

// lastSeqNow is the journal's last record, once the loop has nothing to do.
func (v *verifier) lastSeqNow() uint64 {
	seq := make(chan uint64, 1)
	v.post(func() { seq <- v.ledger.Last() })
	return <-seq
}

// span is a stretch of one monitor's life: how it ended before, and where the
// clock stands then.
type span struct {
	name    string
	restart string // "": the same monitor; "orderly", "crash"
	clock   time.Duration
}

// A hundred thousand messages a second time: in the same monitor and in the
// next, with the clock right, forward and back. None is accepted, and a fresh
// secret always works.
func TestAHundredThousandReplays(t *testing.T) {
	lives := []span{
		{"at once", "", 0}, {"a second later", "", time.Second}, {"back by 30 s", "", -30 * time.Second}, {"forward by a minute", "", time.Minute},
		{"forward by an hour", "", time.Hour}, {"back by an hour", "", -time.Hour}, {"forward, and back", "", 0},
		{"restarted", "orderly", 0}, {"crashed", "crash", 0}, {"restarted, back by 30 s", "orderly", -30 * time.Second},
		{"crashed, back by 30 s", "crash", -30 * time.Second}, {"crashed, back by a minute", "crash", -time.Minute},
		{"crashed, forward by a minute", "crash", time.Minute}, {"crashed, forward by an hour", "crash", time.Hour}, {"crashed, right again", "crash", 0},
	}
	const each = 1250 // signed anew in each life; all of them are replayed in all lives to come
	v := newVerifier(t)
	random := rand.New(rand.NewPCG(7, 1))
	began := v.now
	var spent []wall.Request
	replays, across, fresh, good := 0, 0, 0, 0
	for i, l := range lives {
		if l.restart != "" {
			v.end(l.restart == "orderly")
			v.begin()
		}
		v.now = began.Add(l.clock).Add(time.Duration(i) * 2 * time.Second)
		for j, o := range v.ask(spent...) {
			if !unauthenticated(o) {
				t.Fatalf("%s: replayed: %+v, answered %+v", l.name, spent[j], o)
			}
		}
		replays += len(spent)
		if l.restart != "" {
			across += len(spent)
		}
		// A secret that was never used works, whatever the clock did. The old ones
		// stay alive, so that their messages are not refused for want of a secret.
		for _, name := range []string{"panel", "site"} {
			v.secrets[name] = append([]string{fmt.Sprintf("%s secret %d", name, i)}, v.secrets[name]...)
			v.writeKey(name, v.secrets[name]...)
		}
		loaded := make(chan struct{})
		v.post(func() { v.load(); close(loaded) })
		<-loaded
		for _, method := range []string{"GET", "POST"} {
			r := v.sign("site", v.secrets["site"][0], wall.HTTP, method, "/v1/explain/m/stop", "", "", `{"n":1}`)
			if o := v.ask(r)[0]; unauthenticated(o) {
				t.Errorf("%s: a fresh secret does not work: %v", l.name, o.Error)
			}
			spent = append(spent, r)
			fresh++
		}
		for range each {
			spent = append(spent, v.some(random))
		}
		for _, o := range v.ask(spent[len(spent)-each:]...) {
			if !unauthenticated(o) { // where the clock was set back some are refused; they are spent all the same
				good++
			}
		}
	}
	// At the end, what the newest monitor has seen itself.
	for range (100_000-replays)/len(spent) + 1 {
		for j, o := range v.ask(spent...) {
			if !unauthenticated(o) {
				t.Fatalf("replayed: %+v, answered %+v", spent[j], o)
			}
		}
		replays += len(spent)
	}
	t.Logf("%d replays, %d of them across a restart, of %d messages of which %d were accepted; %d messages of fresh secrets", replays, across, len(spent), good, fresh)
	if replays < 100_000 || across < 50_000 || good < each*len(lives)/2 {
		t.Errorf("only %d replays, %d across a restart, of %d messages that were accepted", replays, across, good)
	}
}

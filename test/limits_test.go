//go:build linux

package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

const limitModule = `
[allow]
users = ["uid:UID", "uid:2", "uid:3"]
[action.stay]
command = ["/bin/sleep", "1000"]
grace = "0s"
[action.many]
for_each = "n in ns"
params.ns = { type = "array", items = { type = "integer" }, maxItems = 100 }
command = ["/bin/sleep", "1000"]
env.N = "{n}"
grace = "0s"
[action.quick]
command = ["/bin/true"]
[action.write]
command = ["CAST", "write", "{bytes}"]
params.bytes = { type = "integer" }
[action.write-and-stay]
command = ["/bin/sh", "-c", '"$0" write "$1"; exec sleep 1000', "CAST", "{bytes}"]
params.bytes = { type = "integer" }
grace = "0s"
[action.brief]
command = ["CAST", "write", "4096"]
keep = "1ms"
`

// limited checks a refusal of too much.
func limited(t *testing.T, a rig.Answer, words ...string) {
	t.Helper()
	refusal := a.Refused(t, 429, deputy.RateLimited)
	after, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || after < 1 || after != refusal.RetryAfter {
		t.Errorf("Retry-After is %q, retry_after %d", a.Header.Get("Retry-After"), refusal.RetryAfter)
	}
	for _, word := range words {
		if !strings.Contains(refusal.Detail, word) {
			t.Errorf("the refusal does not name %q: %s", word, refusal.Detail)
		}
	}
}

func TestACallerHasSoManyLiveTasksAndNoMore(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, limitModule, rig.Files{"deputy.toml": "[defaults]\nper_caller = { live = 5, rate = \"10000/s\", connections = 100 }\n"})
	two := d.As(2)
	two.Call("m/many", `{"ns":[1,2,3]}`).Tasks(t)
	limited(t, two.Call("m/many", `{"ns":[4,5,6]}`), "uid:2", "per_caller.live")
	never := two.Call("m/many", `{"ns":[1,2,3,4,5,6]}`).Refused(t, 422, deputy.BadParam) // however long it waits
	if !strings.Contains(never.Detail, "has 6 items") || !strings.Contains(never.Detail, "per_caller.live") || never.RetryAfter != 0 {
		t.Errorf("what can never be served is told %+v", never)
	}
	if n := len(d.Events(deputy.Accepted)); n != 1 {
		t.Errorf("%d requests were accepted, want 1: one for many is taken whole or not at all", n)
	}
	last := two.Call("m/many", `{"ns":[7,8]}`).Tasks(t)[1]
	limited(t, two.Call("m/stay", ""), "uid:2")
	d.As(3).Started("m/stay", "") // another caller has its own
	two.Stop(last.ID, "")
	two.Started("m/stay", "")
}

func TestACallerAsksSoOftenAndNoMore(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, limitModule, rig.Files{"deputy.toml": "[defaults]\nper_caller = { live = 1000, rate = \"20/m\", connections = 100 }\n"})
	two := d.As(2)
	const key = "Idempotency-Key"
	first := two.Started("m/quick", "", key, "first")
	accepted := 1
	var refused rig.Answer
	for accepted < 100 {
		if refused = two.Call("m/quick", ""); refused.Status == 429 {
			break
		}
		refused.Tasks(t)
		accepted++
	}
	limited(t, refused, "uid:2", "per_caller.rate")
	// 20 at once, and then one each 3 s.
	if accepted < 20 || accepted > 25 {
		t.Errorf("%d requests were accepted at once with 20/m", accepted)
	}
	// What costs nothing is not refused.
	if again := two.Started("m/quick", "", key, "first"); again.ID != first.ID {
		t.Errorf("the replay is %s, not %s", again.ID, first.ID)
	}
	two.Ended(first.ID)
	d.As(3).Started("m/quick", "")
	after, _ := strconv.Atoi(refused.Header.Get("Retry-After"))
	if after > 4 {
		t.Errorf("Retry-After is %d s", after)
	}
	rig.Eventually(t, 10*time.Second, "it may ask again, when it was told", func() bool { return two.Call("m/quick", "").Status == 202 })
}

// raw sends a request on a connection of its own that stays open.
func raw(t *testing.T, d *rig.Deputy, uid int) (net.Conn, string) {
	t.Helper()
	conn, err := rig.DialAs(d.Socket, uid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "GET /v1/actions HTTP/1.1\r\nHost: x\r\n\r\n")
	buf := make([]byte, 16<<10)
	n, err := conn.Read(buf)
	if err != nil && err != io.EOF && !strings.Contains(err.Error(), "reset") {
		t.Errorf("uid %d: %v", uid, err)
	}
	return conn, string(buf[:n])
}

func TestACallerHasSoManyConnectionsAndNoMore(t *testing.T) {
	rig.NeedRoot(t)
	const limit = 4
	d := begin(t, limitModule, rig.Files{"deputy.toml": text("[defaults]\nper_caller = { live = 100, rate = \"1000/s\", connections = %d }\n", limit)})
	var open []net.Conn
	for i := range limit {
		conn, answer := raw(t, d, 2)
		if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Fatalf("connection %d of %d: %s", i, limit, answer)
		}
		open = append(open, conn)
	}
	_, answer := raw(t, d, 2)
	head, body, _ := strings.Cut(answer, "\r\n\r\n")
	for _, part := range []string{"HTTP/1.1 429 ", "Retry-After: ", "Connection: close"} {
		if !strings.Contains(head, part) {
			t.Errorf("one too many is answered without %q: %s", part, head)
		}
	}
	if !strings.Contains(body, `"code":"rate_limited"`) || !strings.Contains(body, "per_caller.connections") {
		t.Errorf("one too many: %s", body)
	}
	if _, answer := raw(t, d, 3); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Errorf("another caller: %s", answer)
	}
	open[0].Close()
	rig.Eventually(t, 10*time.Second, "there is room again", func() bool {
		conn, answer := raw(t, d, 2)
		conn.Close()
		return strings.HasPrefix(answer, "HTTP/1.1 200 ")
	})
}

// A thousand connections of one caller do not keep another from being served.
func TestOneCallerCannotTakeAllConnections(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, limitModule, rig.Files{"deputy.toml": "[defaults]\nper_caller = { live = 100, rate = \"1000/s\", connections = 16 }\n"})
	for range 1000 {
		conn, err := rig.DialAs(d.Socket, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	three := d.As(3)
	for range 20 {
		task := three.Started("m/quick", "")
		if three.Ended(task.ID).State != deputy.Succeeded {
			t.Error("a task of another caller failed")
		}
	}
}

const narrow = wide + `
[storage]
max_use = "20MiB"
keep_free = "1B"
`

// Beyond max_use the oldest ended output goes first, and everybody is told.
func TestTheOldestEndedOutputGoesFirst(t *testing.T) {
	const size = 4 << 20
	d := begin(t, limitModule, rig.Files{"deputy.toml": narrow})
	c := d.Self()
	params := text(`{"bytes":%d}`, size)
	live := c.Started("m/write-and-stay", params) // the oldest of all
	rig.Eventually(t, 20*time.Second, "it has written", func() bool { return c.Task(live.ID).StdoutBytes == size })
	var ended []string
	for range 12 {
		ended = append(ended, c.Ended(c.Started("m/write", params).ID).ID)
	}
	var removed []string
	rig.Eventually(t, 40*time.Second, "what is too much is removed", func() bool {
		removed = nil
		for _, e := range d.Events(deputy.OutputRemoved) {
			removed = append(removed, e.IDs...)
		}
		return len(removed) >= len(ended)-4
	})
	if len(removed) > len(ended)-3 || !slices.Equal(removed, ended[:len(removed)]) {
		t.Errorf("removed %d: %v\nended: %v", len(removed), removed, ended)
	}
	var use int64
	files, err := filepath.Glob(filepath.Join(d.State, "tasks", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		use += onDisk(t, file)
	}
	if use > 20<<20 {
		t.Errorf("%d bytes are in use", use)
	}
	for i, id := range append([]string{live.ID}, ended...) {
		gone := slices.Contains(removed, id)
		a := c.Do("GET", "/v1/tasks/"+id+"/stdout", "")
		task := c.Task(id)
		gap := a.Header.Get("Deputy-Gap")
		switch {
		case gone && (a.Status != 200 || len(a.Body) > 0 || gap != fmt.Sprintf("0-%d", size-1)):
			t.Errorf("output %d was removed: status %d, %d bytes, Deputy-Gap %q", i, a.Status, len(a.Body), gap)
		case gone && (task.StdoutGap == nil || *task.StdoutGap != [2]int64{0, size} || task.StdoutBytes != size):
			t.Errorf("output %d was removed: %d bytes, gap %v", i, task.StdoutBytes, task.StdoutGap)
		case !gone && (len(a.Body) != size || !rig.IsPattern(a.Body, 0) || gap != ""):
			t.Errorf("output %d was kept: %d bytes, Deputy-Gap %q", i, len(a.Body), gap)
		}
	}
	t.Logf("%d of %d outputs removed, %d KiB in use of 20 MiB", len(removed), len(ended), use>>10)
}

// An action's own keep counts; what is too old is removed at the latest when
// deputy starts.
func TestWhatIsKeptTooLongIsRemoved(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, "user = \"root\"\n"+limitModule, rig.Files{"deputy.toml": installed}, "--installed")
	c := d.Self()
	brief := c.Ended(c.Started("m/brief", "").ID)
	other := c.Ended(c.Started("m/write", `{"bytes":4096}`).ID)
	rig.Eventually(t, 10*time.Second, "its time is noted", func() bool {
		_, err := os.Stat(filepath.Join(d.State, "tasks", brief.ID, "expires"))
		return err == nil
	})
	d.Stop()
	d.Start()
	rig.Eventually(t, 20*time.Second, "it is removed", func() bool { return len(d.Events(deputy.OutputRemoved)) > 0 })
	c = d.Self()
	if removed := d.Events(deputy.OutputRemoved)[0].IDs; !slices.Equal(removed, []string{brief.ID}) {
		t.Errorf("removed: %v, want %s", removed, brief.ID)
	}
	if out := c.Stdout(other.ID); len(out) != 4096 {
		t.Errorf("the other has %d bytes", len(out))
	}
	if a := c.Do("GET", "/v1/tasks/"+brief.ID+"/stdout", ""); a.Header.Get("Deputy-Gap") != "0-4095" {
		t.Errorf("headers: %v", a.Header)
	}
}

// The journal's oldest segment goes when output is not enough; what is left
// still proves itself.
func TestTheOldestSegmentOfTheJournalIsRetired(t *testing.T) {
	const files = 20
	d := begin(t, limitModule, rig.Files{"deputy.toml": wide + "[storage]\nkeep_free = \"1B\"\nmax_use = \"70MiB\"\n"})
	c := d.Self()
	first := c.Ended(c.Started("m/quick", "").ID)
	// Segments are of 64 MiB. A policy stands in the journal whole, so a large one fills it.
	comment := strings.Repeat("# "+strings.Repeat("x", 97)+"\n", 9900)
	segments := func() []string {
		list, err := filepath.Glob(filepath.Join(d.State, "journal", "*.jsonl"))
		if err != nil || len(list) == 0 {
			t.Fatal(list, err)
		}
		return list
	}
	oldest := segments()[0]
	for i := range files {
		d.Write(rig.Files{fmt.Sprintf("modules.d/big%d.toml", i): "[action.a]\ncommand = [\"/bin/true\"]\n" + comment})
	}
	for n := 0; slices.Equal(segments(), []string{oldest}); n++ {
		if n == 10 {
			t.Fatal("ten large policies did not fill a segment")
		}
		c.Do("POST", "/v1/reload", "").Read(t, 200, &struct{}{})
	}
	head, err := d.Command("audit", "export", "--head").Output()
	if err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, 40*time.Second, "the oldest segment is retired", func() bool { return !slices.Contains(segments(), oldest) })
	retired := d.Events(deputy.Retired)
	if len(retired) != 1 || retired[0].From != 1 || retired[0].Head == "" {
		t.Errorf("the journal says of it: %+v", retired)
	}
	d.Verify()
	if text, err := d.Command("audit", "verify", "--head", strings.TrimSpace(string(head))).CombinedOutput(); err != nil {
		t.Errorf("verify with a head: %v\n%s", err, text)
	}
	// The history is the journal's: it forgets what is retired, and goes on.
	rig.Eventually(t, 10*time.Second, "the history forgets", func() bool { return c.Do("GET", "/v1/tasks/"+first.ID, "").Status == 404 })
	c.Ended(c.Started("m/quick", "").ID)
}

const rateModule = `
[allow]
users = ["uid:2", "uid:3"]
[action.rare]
rate = "3/m"
command = ["/bin/true"]
[action.often]
command = ["/bin/true"]
[action.hold]
lock = "one"
command = ["/bin/sleep", "1000"]
grace = "0s"
rate = "2/h"
[action.release]
lock = "one"
stops = "hold"
rate = "1/h"
`

func TestAnActionIsAskedForSoOftenByEachCaller(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, rateModule, nil)
	two, three := d.As(2), d.As(3)
	const key = "Idempotency-Key"
	first := two.Started("m/rare", "", key, "first")
	two.Started("m/rare", "")
	two.Started("m/rare", "")
	refused := two.Call("m/rare", "")
	limited(t, refused, "uid:2", "m/rare", "3/m")
	if after, _ := strconv.Atoi(refused.Header.Get("Retry-After")); after > 20 {
		t.Errorf("Retry-After is %d s, where one comes each 20 s", after)
	}
	if again := two.Started("m/rare", "", key, "first"); again.ID != first.ID {
		t.Errorf("the replay is %s, not %s", again.ID, first.ID)
	}
	two.Started("m/often", "")
	three.Started("m/rare", "")

	// Joining and stopping count like anything else that is asked for.
	held := two.Started("m/hold", "")
	if joined := two.Started("m/hold", ""); joined.ID != held.ID {
		t.Errorf("%s was not joined, but %s started", held.ID, joined.ID)
	}
	limited(t, two.Call("m/hold", ""), "m/hold", "2/h")
	two.Started("m/release", "")
	limited(t, two.Call("m/release", ""), "m/release", "1/h")
	for _, line := range d.Journal() {
		if strings.Contains(line, "rate_limited") {
			t.Errorf("a refusal for the rate is in the journal: %s", line)
		}
	}
}

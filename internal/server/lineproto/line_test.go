//go:build linux

package lineproto_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/signature"
	"deputy/test/rig"
)

// TestDialogues holds every dialogue of testdata with a real deputy, in the
// order of the file.
func TestDialogues(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) < 3 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			d, dial := begin(t)
			for _, dialogue := range rig.Dialogues(t, path) {
				conn, err := dial[dialogue.Where]()
				if err != nil {
					t.Fatal(err)
				}
				dialogue.Send = fill(dialogue.Send)
				dialogue.Hold(t, conn)
			}
			if strings.Contains(d.Log(), "the server is gone") {
				t.Errorf("the server was ended:\n%s", d.Log())
			}
			d.Verify()
		})
	}
}

// original is what the original's client did, in Python 3: one send, one
// recv(8192).
const original = `
import hashlib, hmac, json, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
key, module, action, task_id = sys.argv[2:]
signature = hmac.new(key.encode(), module.encode(), hashlib.md5).hexdigest()
msg = "action:%s\ntask_ids:%s\nmodule:%s\nsignature:%s\n\n\n" % (action, task_id, module, signature)
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect((host, int(port)))
s.send(msg.encode())
answer = s.recv(8192)
s.close()
print(json.dumps(json.loads(answer.decode())))
`

// TestOriginalClient runs what the original's client did, many times: the whole
// answer comes with one recv.
func TestOriginalClient(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("needs python3: ", err)
	}
	address := freeAddress(t)
	d, _ := beginAt(t, files, address)
	run := func(action, id string) (answer struct {
		Success bool
		Msg     any
		Tasks   []string
	}) {
		t.Helper()
		out, err := exec.Command(python, "-c", original, address, old, "SCAN_MODULE", action, id).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if err := json.Unmarshal(out, &answer); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		return answer
	}
	for i := range 20 {
		id := fmt.Sprint(1000 + i)
		started := run("start", id)
		if !started.Success || started.Msg != "start ok" || len(started.Tasks) != 1 {
			t.Fatalf("start: %+v", started)
		}
		stopped := run("stop", id)
		if !stopped.Success || stopped.Msg != "stop ok" || len(stopped.Tasks) != 1 || stopped.Tasks[0] != started.Tasks[0] {
			t.Fatalf("stop: %+v after %+v", stopped, started)
		}
	}
	if refused := run("strat", "1"); refused.Success || refused.Msg.(map[string]any)["err_code"] != 1.0 {
		t.Errorf("an unknown action: %+v", refused)
	}
	for _, e := range d.Events(deputy.Accepted) {
		if e.Caller != "key:original" {
			t.Errorf("accepted for %s: %+v", e.Caller, e)
		}
	}
}

// ask sends bytes and reads the answer.
func ask(t *testing.T, dial func() (net.Conn, error), message string) (answer struct {
	Success bool
	Msg     json.RawMessage
	Tasks   []string
	bytes   int
}) {
	t.Helper()
	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, message); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	answer.bytes = len(text)
	return answer
}

// TestIDsAreLeftOut: an answer never passes what one recv(8192) takes.
func TestIDsAreLeftOut(t *testing.T) {
	_, dial := begin(t)
	list := func(n int) string {
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprint(500 + i)
		}
		return strings.Join(ids, ",")
	}
	// An answer of n ids has 37 + 40·n bytes and its newline: 203 fit, 204 do not.
	for _, test := range []struct{ tasks, shown int }{{203, 203}, {204, 0}} {
		start := "module:SCAN_MODULE\naction:start\ntask_ids:" + list(test.tasks) + "\n\n"
		a := ask(t, dial["unix"], start)
		for end := time.Now().Add(time.Minute); strings.Contains(string(a.Msg), "rate_limited") && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond) // some that were stopped have not ended yet
			a = ask(t, dial["unix"], start)
		}
		if !a.Success || len(a.Tasks) != test.shown || a.bytes > 8192 {
			t.Errorf("%d tasks: %d ids in %d bytes: %s", test.tasks, len(a.Tasks), a.bytes, a.Msg)
		}
		if b := ask(t, dial["unix"], "module:SCAN_MODULE\naction:stop\ntask_ids:"+list(test.tasks)+"\n\n"); !b.Success {
			t.Errorf("stop: %s", b.Msg)
		}
	}
}

// TestWhoAsks: over a Unix socket the peer is the caller, whoever it says it is,
// and each has only what a rule gives it.
func TestWhoAsks(t *testing.T) {
	rig.NeedRoot(t)
	d, _ := begin(t)
	socket := filepath.Join(d.State, "line.sock")
	as := func(uid int) func() (net.Conn, error) {
		return func() (net.Conn, error) { return rig.DialAs(socket, uid) }
	}
	const say = "module:SCAN_MODULE\naction:say\n\n"
	if a := ask(t, as(0), say); !a.Success {
		t.Errorf("root: %s", a.Msg)
	}
	a := ask(t, as(65533), say)
	if a.Success || !strings.Contains(string(a.Msg), "uid 65533 may not call SCAN_MODULE/say") {
		t.Errorf("uid 65533: %s", a.Msg)
	}
	if a := ask(t, as(65533), "module:SCAN_MODULE\naction:say\nsignature:"+signature.Legacy([]byte(old), "SCAN_MODULE")+"\n\n"); a.Success {
		t.Errorf("uid 65533 with a signature: %+v", a)
	}
}

// TestSlowAndEarly: a message in single bytes is read, the answer reaches a
// client that goes on sending, and one that says nothing is answered, too.
func TestSlowAndEarly(t *testing.T) {
	_, dial := begin(t)
	var all sync.WaitGroup
	all.Go(func() {
		conn, err := dial["unix"]()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for _, c := range []byte("module:SCAN_MODULE\naction:say\n\n") {
			if _, err := conn.Write([]byte{c}); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
		if text, err := io.ReadAll(conn); err != nil || !strings.Contains(string(text), "say ok") {
			t.Errorf("%q, %v", text, err)
		}
	})
	for _, where := range []string{"tcp", "unix"} {
		all.Go(func() { // 1 MiB more than anybody wants: no reset may take the answer away
			conn, err := dial[where]()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			go func() { _, _ = io.WriteString(conn, "module:x\n"+strings.Repeat("a", 1<<20)) }()
			text, err := io.ReadAll(conn)
			if err != nil || !strings.Contains(string(text), "a line has more than 8192 bytes") {
				t.Errorf("%s: %q, %v", where, text, err)
			}
		})
		all.Go(func() {
			conn, err := dial[where]()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			began := time.Now()
			text, err := io.ReadAll(conn)
			if took := time.Since(began); err != nil || !strings.Contains(string(text), "not finished within 5s") || took > 8*time.Second {
				t.Errorf("%s: %q, %v after %v", where, text, err, took)
			}
		})
	}
	all.Wait()
}

// TestAddressInUse: an address that cannot be had is said, the others serve,
// and it is opened once it can be.
func TestAddressInUse(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := holder.Addr().String()
	free := freeAddress(t)
	both := rig.Files{}
	for name, text := range files {
		both[name] = strings.Replace(text, `["ADDRESS",`, `["`+taken+`", "ADDRESS",`, 1)
	}
	d, dial := beginAt(t, both, free)
	if a := ask(t, dial["tcp"], "module:SCAN_MODULE\naction:stop\ntask_ids:1\nsignature:"+signature.Legacy([]byte(old), "SCAN_MODULE")+"\n\n"); !a.Success {
		t.Errorf("the other address: %s", a.Msg)
	}
	rig.Eventually(t, 5*time.Second, "it says why not", func() bool {
		return strings.Contains(d.Log(), "cannot listen") && strings.Contains(d.Log(), taken)
	})
	holder.Close()
	rig.Eventually(t, 10*time.Second, "it opens the address", func() bool {
		conn, err := net.Dial("tcp", taken)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// TestReloadOpensAndCloses: what a reload adds is opened, what it takes away is
// closed, and meanwhile not one connection to the Unix socket is refused.
func TestReloadOpensAndCloses(t *testing.T) {
	d, dial := begin(t)
	more, socket := freeAddress(t), filepath.Join(d.State, "more.sock")
	write := func(line string) {
		d.Write(rig.Files{"deputy.toml": "[listen]\nline = [" + line + "]\n[key.original]\nlegacy = true\n"})
	}
	ended := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				default:
				}
				c := d.Self() // a connection of its own
				if _, err := c.Try("GET", "/v1/actions", ""); err != nil {
					t.Errorf("request %d: %v", n, err)
				}
				c.Close()
			}
		})
	}
	c := d.Self()
	reload := func() {
		t.Helper()
		if a := c.Do("POST", "/v1/reload", ""); a.Status != 200 {
			t.Fatalf("reload: %d %s", a.Status, a.Body)
		}
	}
	reaches := func(network, address string) bool {
		conn, err := net.Dial(network, address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	for range 3 {
		write(fmt.Sprintf("%q, %q", more, socket))
		reload()
		rig.Eventually(t, 10*time.Second, "the new ones are open, the old ones closed", func() bool {
			_, err := dial["tcp"]()
			_, errUnix := dial["unix"]()
			return reaches("tcp", more) && reaches("unix", socket) && err != nil && errUnix != nil
		})
		if a := ask(t, func() (net.Conn, error) { return net.Dial("unix", socket) }, "module:SCAN_MODULE\naction:say\n\n"); !a.Success {
			t.Errorf("the new socket: %s", a.Msg)
		}
		write("")
		reload()
		rig.Eventually(t, 10*time.Second, "all are closed", func() bool { return !reaches("tcp", more) && !reaches("unix", socket) })
	}
	close(ended)
	asking.Wait()

}

// TestSocketOutlivesTheMonitor: the keeper holds the Unix socket: who connects
// while no monitor lives waits, and is answered.
func TestSocketOutlivesTheMonitor(t *testing.T) {
	d, dial := begin(t)
	for range 3 {
		monitor := d.Part("--role monitor")
		if err := unix.Kill(monitor, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if a := ask(t, dial["unix"], "module:SCAN_MODULE\naction:say\n\n"); !a.Success {
				t.Errorf("%s", a.Msg)
			}
		}
		rig.Eventually(t, 10*time.Second, "another monitor lives", func() bool { p := d.Part("--role monitor"); return p != 0 && p != monitor })
	}
	d.Verify()
}

//go:build linux

package test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// The users of this installation, by number so that any machine has them: the
// server is daemon (1). 2 and 3 ask; 6 may look, 7 may stop, 8 is an auditor, 9
// an operator; whoever is in group staff may ask, too.
const installedModule = `
user = "root"
[action.work]
command = ["/bin/sh", "-c", 'echo "working as $(id -un)"; exec sleep 1000']
grace = "0s"
lock = "{key}"
params.key = { type = "string", default = "" }
env.KEY = "{key}"
[action.as-bin]
user = "bin"
command = ["/bin/sh", "-c", "id -u; id -g; id -G; cat"]
stdin = "{secret}"
params.secret = { type = "string", sensitive = true }
[action.plain]
user = "bin"
command = ["/bin/true"]
`

const installedRules = `
[[allow]]
actions = ["m/*"]
users = ["uid:2", "uid:3"]
groups = ["staff"]
[[allow]]
actions = ["m/work"]
users = ["uid:6"]
read = true
where = { key = ["nothing of this value exists"] }
[[allow]]
actions = ["m/work"]
users = ["uid:7"]
stop = true
read = true
[[allow]]
actions = ["m/plain"]
users = ["uid:10"]
end_users = ["alice"]
`

const installedConfig = installed + `
[user."uid:8"]
auditor = true
[user."uid:9"]
operator = true
auditor = true
[user."uid:10"]
names_end_user = true
`

func installedDeputy(t *testing.T) *rig.Deputy {
	t.Helper()
	rig.NeedRoot(t)
	d := prepare(t, installedModule, rig.Files{"deputy.toml": installedConfig, "allow.d/site.toml": installedRules, "keys/panel": "secret\n"}, "--installed")
	if err := os.Chmod(filepath.Join(d.Config, "keys", "panel"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(d.Config, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.Start()
	return d
}

// The server, which reads what a network sends, is an ordinary user without
// any privilege, and holds nothing of root's.
func TestTheServerHasNoPrivilege(t *testing.T) {
	d := installedDeputy(t)
	server := d.Part("deputy-server")
	for name, want := range map[string]string{
		"Uid": "1 1 1 1", "Gid": "1 1 1 1", "Groups": "",
		"CapInh": zeros, "CapPrm": zeros, "CapEff": zeros, "CapAmb": zeros, "CapBnd": zeros, "NoNewPrivs": "1", "Seccomp": "2",
	} {
		if got := rig.Status(server, name); got != want {
			t.Errorf("the server's %s is %q, want %q", name, got, want)
		}
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", server))
	if err != nil {
		t.Fatal(err)
	}
	// The runtime of Go keeps the limits of its processors open.
	allowed := regexp.MustCompile(`^(/dev/null|/sys/fs/cgroup/.*cpu[^/]*|pipe:.*|socket:.*|anon_inode:.*|` + regexp.QuoteMeta(filepath.Join(d.State, "server")) + `/.*)$`)
	for _, entry := range entries {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", server, entry.Name()))
		if err == nil && !allowed.MatchString(link) {
			t.Errorf("the server holds %s open", link)
		}
	}
	if got := rig.Status(d.Part("--role monitor"), "Uid"); got != "0 0 0 0" {
		t.Errorf("the monitor runs as %s", got)
	}
}

// Who reads what, tried as the server's user and as a stranger.
func TestFilesAreForThoseWhoNeedThem(t *testing.T) {
	d := installedDeputy(t)
	c := d.As(2)
	task := c.Ended(c.Started("m/as-bin", `{"secret":"hunter2"}`).ID)
	other := c.Ended(c.Started("m/as-bin", `{"secret":"hunter3"}`).ID)
	dir := filepath.Join("tasks", task.ID)
	segments, err := filepath.Glob(filepath.Join(d.State, "journal", "*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no journal: %v", err)
	}
	const server, stranger = 1, 4711
	for _, f := range []struct {
		path        string
		mode        os.FileMode
		owner       string // uid:gid
		readable    []uint32
		notReadable []uint32
	}{
		{"journal", 0o700, "0:0", nil, []uint32{server, stranger}},
		{"journal/" + filepath.Base(segments[0]), 0o600, "0:0", nil, []uint32{server, stranger}},
		{"installation.key", 0o600, "0:0", nil, []uint32{server, stranger}},
		{"tasks", 0o750, "0:1", []uint32{server}, []uint32{stranger}},
		{dir, 0o750, "0:1", []uint32{server}, []uint32{stranger}},
		{dir + "/stdout", 0o640, "0:1", []uint32{server}, []uint32{stranger, 2}},
		{"server", 0o770, "0:1", []uint32{server}, []uint32{stranger}},
		{"../etc/keys/panel", 0o600, "0:0", nil, []uint32{server, stranger}},
	} {
		path := filepath.Join(d.State, f.path)
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		st := info.Sys().(*syscall.Stat_t)
		if owner := fmt.Sprintf("%d:%d", st.Uid, st.Gid); info.Mode().Perm() != f.mode || owner != f.owner {
			t.Errorf("%s is %o of %s, want %o of %s", f.path, info.Mode().Perm(), owner, f.mode, f.owner)
		}
		for _, uid := range f.readable {
			if err := readAs(uid, path); err != nil {
				t.Errorf("uid %d cannot read %s: %v", uid, f.path, err)
			}
		}
		for _, uid := range f.notReadable {
			if err := readAs(uid, path); err == nil {
				t.Errorf("uid %d can read %s", uid, f.path)
			}
		}
	}
	info, err := os.Stat(d.Socket)
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	// A secret reaches the task, and lies nowhere once it has ended.
	if out := c.Stdout(task.ID); out != "2\n2\n2\nhunter2" {
		t.Errorf("the task, as bin: %q", out)
	}
	text, _ := exec.Command("grep", "-rla", "hunter", d.State).Output()
	found := strings.Fields(string(text))
	slices.Sort(found)
	if want := []string{filepath.Join(d.State, dir, "stdout"), filepath.Join(d.State, "tasks", other.ID, "stdout")}; !slices.Equal(found, want) {
		t.Errorf("the secrets lie in %v, want what the tasks wrote of them alone", found)
	}
	if sealed, _ := task.Params["secret"].(string); !strings.HasPrefix(sealed, "hmac-sha256:") {
		t.Errorf("the secret is shown as %q", sealed)
	}
}

// The server's own folder is closed by root: the server cannot open it, and what an
// earlier version left open is closed at the start.
func TestTheServersFolderIsClosedByRoot(t *testing.T) {
	d := installedDeputy(t)
	const server, stranger = 1, 4711
	path := filepath.Join(d.State, "server")
	d.Stop()
	if err := os.Chown(path, server, server); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	d.Start()
	c := d.As(2)
	c.Ended(c.Started("m/as-bin", `{"secret":"hunter2"}`).ID)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != 0o770 || st.Uid != 0 || st.Gid != server {
		t.Errorf("%s is %o of %d:%d, want 770 of 0:%d", path, info.Mode().Perm(), st.Uid, st.Gid, server)
	}
	if err := readAs(stranger, filepath.Join(path, "history.db")); err == nil {
		t.Error("a stranger can read the history")
	}
	chmod := exec.Command("/bin/chmod", "0777", path)
	chmod.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: server, Gid: server, Groups: []uint32{}}}
	if out, err := chmod.CombinedOutput(); err == nil || !strings.Contains(string(out), "not permitted") {
		t.Errorf("the server's user can open its folder: %v, %s", err, out)
	}
}

// readAs reads a file or lists a folder as another user.
func readAs(uid uint32, path string) error {
	cmd := exec.Command("/bin/sh", "-c", `if [ -d "$0" ]; then ls "$0"; else cat "$0"; fi`, path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{}}}
	return cmd.Run()
}

// A caller sees and stops its own; what it may not see is not there, in every
// answer.
func TestCallersSeeTheirOwnTasksAlone(t *testing.T) {
	d := installedDeputy(t)
	two, three := d.As(2), d.As(3)
	task := two.Started("m/work", `{"key":"a"}`)
	ready(t, two, task.ID)
	path := "/v1/tasks/" + task.ID
	for _, stranger := range []int{3, 4711, 10} {
		c := d.As(stranger)
		for _, request := range [][2]string{
			{"GET", path}, {"GET", path + "?wait=5"}, {"GET", path + "/stdout"}, {"GET", path + "/stderr"},
			{"GET", path + "/stdout?follow=1"}, {"GET", path + "/stdout?offset=0&wait=5"}, {"POST", path + "/stop"},
		} {
			refusal := c.Do(request[0], request[1], "").Refused(t, 404, deputy.UnknownTask)
			if strings.Contains(refusal.Detail, "work") {
				t.Errorf("the refusal tells of it: %s", refusal.Detail)
			}
		}
		if list := c.Do("GET", "/v1/tasks", ""); strings.Contains(string(list.Body), task.ID) || list.Status != 200 {
			t.Errorf("uid %d: %s", stranger, list.Body)
		}
	}
	if running(t, two, task.ID).Caller != "uid:2" {
		t.Errorf("the task's caller is %s", task.Caller)
	}
	// Who joins sees its state and waits, and may not stop: see join_test.go.
	if joined := three.Started("m/work", `{"key":"a"}`); joined.ID != task.ID || joined.State != deputy.Running || joined.Caller != "" {
		t.Errorf("joined: %+v", joined)
	}
	if first := two.Task(task.ID); !slices.Equal(first.Joined, []deputy.Caller{"uid:3"}) {
		t.Errorf("whose it is sees who joined: %v", first.Joined)
	}
	refusal := three.Do("POST", path+"/stop", "").Refused(t, 403, deputy.NotAllowed)
	if refusal.Task != task.ID {
		t.Errorf("%+v", refusal)
	}
	waiting := make(chan deputy.Task, 1)
	go func() { waiting <- three.Ended(task.ID) }()
	if stopped := two.Stop(task.ID, ""); stopped.State != deputy.Stopped {
		t.Errorf("stopped by its caller: %s", stopped.State)
	}
	if seen := <-waiting; seen.State != deputy.Stopped {
		t.Errorf("who waited was told %s", seen.State)
	}
}

func TestRightsToSeeAndStopTheTasksOfOthers(t *testing.T) {
	d := installedDeputy(t)
	two := d.As(2)
	for _, test := range []struct {
		uid         int
		group       []uint32
		sees, stops bool
	}{
		{uid: 0, sees: true, stops: true},
		{uid: 7, sees: true, stops: true},
		{uid: 8, sees: true},
		{uid: 9, sees: true, stops: true},
		{uid: 6}, // its rule is confined to another value
		{uid: 1}, // the server's own user is nobody special
	} {
		task := two.Started("m/work", text(`{"key":"for %d"}`, test.uid))
		c := d.As(test.uid)
		if a := c.Do("GET", "/v1/tasks/"+task.ID, ""); (a.Status == 200) != test.sees || !test.sees && a.Status != 404 {
			t.Errorf("uid %d looks: status %d, may see: %v", test.uid, a.Status, test.sees)
		}
		if list := string(c.Do("GET", "/v1/tasks?limit=1000", "").Body); strings.Contains(list, task.ID) != test.sees {
			t.Errorf("uid %d lists it: %v, may see: %v", test.uid, !test.sees, test.sees)
		}
		a := c.Do("POST", "/v1/tasks/"+task.ID+"/stop", "")
		switch {
		case test.stops:
			var stopped deputy.Task
			a.Read(t, 200, &stopped)
			if !strings.Contains(reason(stopped), fmt.Sprintf("uid:%d", test.uid)) {
				t.Errorf("stopped by uid %d: %q", test.uid, reason(stopped))
			}
			none(t, stopped)
		case test.sees:
			a.Refused(t, 403, deputy.NotAllowed)
		default:
			a.Refused(t, 404, deputy.UnknownTask)
		}
	}
}

// Who asks is what the kernel says of the connection: user, groups, nothing else.
func TestWhoMayAsk(t *testing.T) {
	d := installedDeputy(t)
	staff := groupID(t, "staff")
	d.As(13, staff).Started("m/work", `{"key":"group"}`)
	d.As(13, staff+1).Call("m/work", "").Refused(t, 403, deputy.NotAllowed)
	d.As(4711, staff).Call("m/work", "").Refused(t, 403, deputy.NotAllowed) // a number without a name has no group
	refusal := d.As(33).Call("m/work", "").Refused(t, 403, deputy.NotAllowed)
	if !strings.Contains(refusal.Detail, "deputy explain --as") || !strings.Contains(refusal.Detail, "33") || refusal.Rule != "" || strings.Contains(refusal.Detail, "site.toml") {
		t.Errorf("the refusal: %+v", refusal)
	}
	// Root calls only what a rule names, like everyone else.
	d.As(0).Call("m/work", "").Refused(t, 403, deputy.NotAllowed)
	d.As(2).Call("m/nothing", "").Refused(t, 404, deputy.UnknownAction)
	d.As(2).Call("nothing/work", "").Refused(t, 404, deputy.UnknownAction)
	// For an end user only one may ask who is trusted to say so, and only where a rule names that user.
	d.As(2).Call("m/plain", "", "Deputy-End-User", "alice").Refused(t, 403, deputy.NotAllowed)
	d.As(10).Call("m/plain", "").Refused(t, 403, deputy.NotAllowed)
	d.As(10).Call("m/plain", "", "Deputy-End-User", "mallory").Refused(t, 403, deputy.NotAllowed)
	task := d.As(10).Started("m/plain", "", "Deputy-End-User", "alice")
	if task.EndUser == nil || *task.EndUser != "alice" || task.Caller != "uid:10" {
		t.Errorf("for alice: %+v", task)
	}
	// proxy_pass to the socket would make every visitor the web server.
	for _, header := range []string{"Origin", "Sec-Fetch-Site", "Via", "Forwarded", "X-Forwarded-For"} {
		if refusal := d.As(2).Call("m/work", "", header, "x").Refused(t, 400, deputy.BadRequest); !strings.Contains(refusal.Detail, header) {
			t.Errorf("%s: %s", header, refusal.Detail)
		}
	}
	denied := d.Events(deputy.Denied)
	if !slices.ContainsFunc(denied, func(e deputy.Event) bool { return e.Caller == "uid:33" && e.Module == "m" && e.Action == "work" }) {
		t.Errorf("the denial of uid 33 is not in the journal: %+v", denied)
	}
	// An unmapped user is nobody.
	conn, err := rig.DialAs(d.Socket, 65534)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, err := io.ReadAll(conn); len(answer) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("uid 65534 was answered %q, %v", answer, err)
	}
}

func groupID(t *testing.T, name string) (gid uint32) {
	t.Helper()
	text, err := exec.Command("getent", "group", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Sscan(strings.Split(string(text), ":")[2], &gid)
	return gid
}

func TestExplanationsAreForThoseWhoMayKnow(t *testing.T) {
	d := installedDeputy(t)
	explain := func(uid int, query, body string) rig.Answer {
		return d.As(uid).Do("POST", "/v1/explain/m/work"+query, body)
	}
	var x deputy.Explanation
	explain(33, "", "").Read(t, 200, &x)
	if x.Allowed || x.Reason == "" || x.Denied != nil || x.Tasks != nil || x.Rule != "" {
		t.Errorf("one who is denied is told too much: %+v", x)
	}
	explain(2, "?as=uid:3", "").Refused(t, 403, deputy.NotAllowed)
	x = deputy.Explanation{}
	explain(2, "", `{"key":"k"}`).Read(t, 200, &x)
	if !x.Allowed || x.Rule != "site.toml:2" || len(x.Tasks) != 1 || x.Tasks[0].User != "root" || !slices.Contains(x.Tasks[0].Env, "KEY=k") || x.Tasks[0].Argv[0] != "/bin/sh" {
		t.Errorf("one who is allowed: %+v", x)
	}
	for _, as := range []string{"uid:33", "mail"} {
		x = deputy.Explanation{}
		explain(8, "?as="+as, "").Read(t, 200, &x)
		if x.Allowed || len(x.Denied) == 0 || !strings.HasPrefix(x.Denied[0].Rule, "site.toml:") || x.Denied[0].Reason == "" {
			t.Errorf("an auditor asks about %s: %+v", as, x)
		}
	}
	if n := len(d.Events(deputy.Accepted)); n != 0 {
		t.Errorf("explaining ran %d tasks", n)
	}
}

// The stream of events shows a caller its own, an auditor everything.
func TestEventsAreSeenByThoseWhoMaySeeTheirTasks(t *testing.T) {
	d := installedDeputy(t)
	first := d.As(2).Started("m/plain", "")
	d.As(2).Ended(first.ID)
	second := d.As(3).Started("m/plain", "")
	d.As(3).Ended(second.ID)
	for _, test := range []struct {
		uid, mark     int // who looks, and whose next task ends the look
		first, second bool
		policy        bool
	}{
		{uid: 2, mark: 2, first: true},
		{uid: 3, mark: 3, second: true},
		{uid: 8, mark: 2, first: true, second: true, policy: true},
	} {
		text := eventsUntil(t, d, test.uid, test.mark)
		if strings.Contains(text, first.ID) != test.first || strings.Contains(text, second.ID) != test.second || strings.Contains(text, `"type":"policy"`) != test.policy {
			t.Errorf("uid %d is shown:\n%s", test.uid, text)
		}
		if strings.Contains(text, "site.toml") != test.policy {
			t.Errorf("uid %d is shown the rules: %v", test.uid, !test.policy)
		}
	}
}

// eventsUntil reads all events from the first on, as one user, up to those of
// a task that another starts meanwhile.
func eventsUntil(t *testing.T, d *rig.Deputy, uid, mark int) string {
	t.Helper()
	conn, err := rig.DialAs(d.Socket, uid)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 0\r\n\r\n")
	last := d.As(mark).Started("m/plain", "").ID
	var text strings.Builder
	buf := make([]byte, 64<<10)
	for !strings.Contains(text.String(), last) {
		n, err := conn.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			t.Errorf("uid %d: %v after\n%s", uid, err, text.String())
			break
		}
	}
	return text.String()
}

// An installed deputy tells the head of its journal to the system's log.
func TestTheHeadIsInTheSystemLog(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, "", rig.Files{"deputy.toml": installed}, "--installed")
	socket := filepath.Join(d.Work, "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, dir := range []string{"upper", "inner"} {
		if err := os.Mkdir(filepath.Join(d.Work, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// A /dev of its own: its /dev/log is ours, and nobody else's.
	d.Wrapper = []string{"unshare", "--mount", "--propagation", "private", "sh", "-ec",
		`mount -t overlay overlay -o "lowerdir=/dev,upperdir=$0/upper,workdir=$0/inner" /dev; ln -sf "$0/log" /dev/log; exec "$@"`, d.Work}
	d.Start()
	buf := make([]byte, 2048)
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	_, head, _ := strings.Cut(string(buf[:n]), "]: ")
	if out, err := d.Command("audit", "verify", "--journal", filepath.Join(d.State, "journal"), "--head", head).CombinedOutput(); err != nil || !strings.HasPrefix(head, "deputy-head 1 ") {
		t.Errorf("received %q; verify: %v\n%s", buf[:n], err, out)
	}
}

//go:build linux

package test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/internal/signature"
	"deputy/test/rig"
)

// A program that runs, or waits behind one that does.
const restoreModule = `
user = "root"
[allow]
users = ["uid:0"]
keys = ["panel"]
[action.stay]
command = ["/bin/sh", "-c", 'echo ready; sleep 1000 & sleep 1000']
[action.hold]
lock = "held"
command = ["/bin/sh", "-c", 'echo ready; exec sleep 1000']
[action.wait]
lock = "held"
on_busy = "rerun"
command = ["/bin/sh", "-c", 'echo "$DEPUTY_TASK" >>"$0"', "WORK/starts"]
[action.say]
command = ["/bin/echo", "{text}"]
params.text = { type = "string", default = "x" }
`

// documented gives the commands of a section of docs/operating.md, with the
// directories of a deputy in the place of an installed one's.
func documented(t *testing.T, d *rig.Deputy, section string) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+section+"\n")
	if !ok {
		t.Fatalf("there is no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```bash\n(.*?)^```$").FindAllStringSubmatch(rest, -1) {
		found = append(found, strings.NewReplacer(
			"/etc/deputy", d.Config, "/var/lib/deputy", d.State, "/backup", filepath.Join(d.Work, "backup"),
		).Replace(m[1]))
	}
	return found
}

// shell runs commands as root would; deputy itself is stopped and started by
// the test.
func shell(t *testing.T, d *rig.Deputy, commands string) {
	t.Helper()
	cmd := exec.Command("bash", "-ec", "systemctl() { :; }\n"+commands)
	cmd.Env = append(os.Environ(), "PATH="+rig.Programs(t)+":"+os.Getenv("PATH"), "DEPUTY_SOCKET="+d.Socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v in\n%s\n%s", err, commands, out)
	}
}

func isLost(t *testing.T, task deputy.Task) {
	t.Helper()
	if task.State != deputy.Unknown || reason(task) != "the journal was restored from a back-up, which does not know what became of it" {
		t.Errorf("%s/%s: %s, %q", task.Module, task.Action, task.State, reason(task))
	}
}

// signed makes a request whose signature can be sent again.
func signed(t *testing.T, a addresses, text string) *http.Request {
	t.Helper()
	return as(t, a, "panel").request("POST", "/v1/actions/m/say", fmt.Sprintf(`{"text":%q}`, text), "Content-Type", "application/json")
}

func status(t *testing.T, r *http.Request) int {
	t.Helper()
	again := r.Clone(t.Context())
	again.Body, _ = r.GetBody()
	answer, err := http.DefaultClient.Do(again)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// The documented commands, on a deputy that goes on after the back-up: what the
// restored journal does not know must not live, nor be started or signed for twice.
func TestBackUpAndRestore(t *testing.T) {
	rig.NeedRoot(t)
	d, a := beginNetwork(t, restoreModule, rig.Files{"deputy.toml": strings.Replace(network, "[server]", "[server]\nuser = \"daemon\"", 1)}, "--installed")
	c := d.Self()
	ended := c.Ended(c.Started("m/say", `{"text":"before"}`).ID)
	known, holder := c.Started("m/stay", ""), c.Started("m/hold", "")
	for _, task := range []deputy.Task{known, holder} {
		ready(t, c, task.ID)
	}
	waits := c.Started("m/wait", "")
	commands := documented(t, d, "Back-up and restore")
	if len(commands) != 2 {
		t.Fatalf("%d blocks of commands are documented", len(commands))
	}
	shell(t, d, commands[0])

	// Life goes on. The one that waited runs, and what comes is in no back-up.
	c.Stop(holder.ID, `{"grace":"0s"}`)
	c.Ended(waits.ID)
	unknown := c.Started("m/stay", "")
	ready(t, c, unknown.ID)
	request := signed(t, a, "once")
	if got := status(t, request); got != 202 {
		t.Fatalf("a signed request: %d", got)
	}
	for range 50 { // the restored journal is to have as many records as were lost, and more
		c.Ended(c.Started("m/say", "").ID)
	}
	d.Stop()
	for _, task := range []deputy.Task{known, unknown} {
		if len(rig.Living(task.ID)) == 0 {
			t.Fatalf("%s does not outlive the service", task.ID)
		}
	}
	shell(t, d, commands[1])
	// An installed server's history lies elsewhere, and stays: it is ahead of the journal.
	if err := os.Rename(filepath.Join(d.State+".old", "server"), filepath.Join(d.State, "server")); err != nil {
		t.Fatal(err)
	}
	d.Start()

	c = d.Self()
	for _, id := range []string{known.ID, holder.ID, waits.ID} {
		isLost(t, c.Ended(id))
	}
	for _, task := range []deputy.Task{known, unknown} {
		if living := rig.Living(task.ID); len(living) > 0 {
			t.Errorf("%d processes of %s live", len(living), task.ID)
		}
	}
	if log := d.Log(); !strings.Contains(log, "the journal was restored from a back-up, or begun anew (there is no ") || !strings.Contains(log, "of task "+unknown.ID+" were ended") {
		t.Errorf("it said:\n%s", log)
	}
	if a := c.Do("GET", "/v1/tasks/"+unknown.ID, ""); a.Status != 404 {
		t.Errorf("a task that no record knows: %d %s", a.Status, a.Body)
	}
	if task := c.Task(ended.ID); task.State != deputy.Succeeded {
		t.Errorf("what had ended before: %s", task.State)
	}
	if n := len(lines(t, filepath.Join(d.Work, "starts"))); n != 1 {
		t.Errorf("what waited was started %d times", n)
	}
	rig.Eventually(t, 30*time.Second, "it listens", func() bool { return listens(a.http) })
	for _, again := range []*http.Request{request, signed(t, a, "new")} {
		if got := status(t, again); got != 401 {
			t.Errorf("within a minute of the restore a signed request gives %d", got)
		}
	}
	begins := d.Events(deputy.MonitorStart)
	if len(begins) != 2 || begins[0].Restored || !begins[1].Restored {
		t.Errorf("the journal says of its monitors: %+v", begins)
	}
	d.Verify()

	// A restart is no restore: the journal is where it is.
	stays := c.Started("m/stay", "")
	ready(t, c, stays.ID)
	d.Crash()
	d.Start()
	c = d.Self()
	running(t, c, stays.ID)
	if begins = d.Events(deputy.MonitorStart); len(begins) != 3 || begins[2].Restored {
		t.Errorf("the journal says of its monitors: %+v", begins)
	}
	c.Stop(stays.ID, `{"grace":"0s"}`)
}

// Who begins a new journal, in the place of a damaged one, leaves nothing that
// runs and that nobody knows.
func TestANewJournalInThePlaceOfAnother(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, restoreModule, rig.Files{"deputy.toml": installed}, "--installed")
	c := d.Self()
	task := c.Started("m/stay", "")
	ready(t, c, task.ID)
	d.Stop()
	journal := filepath.Join(d.State, "journal")
	if err := os.Rename(journal, journal+".damaged"); err != nil {
		t.Fatal(err)
	}
	d.Start()
	if living := rig.Living(task.ID); len(living) > 0 {
		t.Errorf("%d processes live that no record knows; it said:\n%s", len(living), d.Log())
	}
	c = d.Self()
	if a := c.Do("GET", "/v1/tasks/"+task.ID, ""); a.Status != 404 {
		t.Errorf("the task: %d %s", a.Status, a.Body)
	}
	c.Ended(c.Started("m/say", "").ID)
	d.Verify()
}

// A signature from before the journal began is refused, within the window of
// clocks, too: another journal may have known that it was used.
func TestWhatWasSignedBeforeTheJournalBegan(t *testing.T) {
	_, a := beginNetwork(t, restoreModule, rig.Files{"modules.d/m.toml": "[allow]\nkeys = [\"panel\"]\naction.say.command = [\"/bin/echo\", \"x\"]\n"})
	s := as(t, a, "panel")
	r := s.request("POST", "/v1/actions/m/say", "{}", "Content-Type", "application/json")
	if got := status(t, r); got != 202 {
		t.Errorf("signed now: %d", got)
	}
	r.Header.Set("Authorization", signature.Sign("panel", []byte(secrets["panel"]), time.Now().Unix()-30,
		signature.Request{Method: "POST", Audience: "gate1", Target: "/v1/actions/m/say", Body: []byte("{}")}).String())
	if got := status(t, r); got != 401 { // this journal is younger than 30 s
		t.Errorf("signed before its nonces were known: %d", got)
	}
}

//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// Alice is an operator, an auditor and may name end users; whoever is in team may
// ask; scanner is whom tasks run as.
const namesConfig = installed + `
[user.alice]
operator = true
auditor = true
names_end_user = true
`

const namesModule = `
user = "root"
[allow]
users = ["alice"]
groups = ["team"]
[action.root]
command = ["/bin/true"]
[action.scan]
user = "scanner"
command = ["/bin/sh", "-c", 'echo "$USER $(id -u) $(id -g) $(id -G) $HOME $SHELL"']
[action.wait]
user = "scanner"
lock = "w"
on_busy = "rerun"
command = ["/bin/sh", "-c", 'read line <"$0"; id -u', "WORK/gate"]
[action.team]
groups = ["team"]
command = ["/usr/bin/id", "-G"]
[action.number]
user = 62345
command = ["/bin/sh", "-c", 'echo "$USER $(id -u) $(id -g) $(id -G) $HOME $SHELL"']
[action.numbers]
user = "62345"
groups = [62346, "gid:62347"]
command = ["/bin/sh", "-c", 'echo "$USER $(id -u) $(id -g) $(id -G)"']
`

const (
	aliceUID   = 61001
	scannerUID = 61002
	teamGID    = 61003
)

func namesDeputy(t *testing.T) (*rig.Deputy, *etc) {
	e := newEtc(t)
	e.must("groupadd", "-g", fmt.Sprint(teamGID), "team")
	e.useradd("alice", aliceUID)
	e.useradd("scanner", scannerUID, "-G", "team", "-d", "/opt/scan", "-s", "/usr/sbin/nologin")
	d := prepare(t, namesModule, rig.Files{"deputy.toml": namesConfig}, "--installed")
	d.Wrapper = e.wrapper()
	return d, e
}

// gone asks for everything that alice may, and expects that it is refused.
func gone(t *testing.T, d *rig.Deputy, c *rig.Caller, who string) {
	t.Helper()
	for what, a := range map[string]rig.Answer{
		"call":             c.Call("m/root", ""),
		"reload":           c.Do("POST", "/v1/reload", ""),
		"explain for":      c.Do("POST", "/v1/explain/m/root?as=uid:0", ""),
		"name an end user": c.Call("m/root", "", "Deputy-End-User", "someone"),
		"drain":            c.Do("POST", "/v1/drain", ""),
	} {
		if a.Status != 403 {
			t.Errorf("%s may %s: %d %s", who, what, a.Status, a.Body)
		}
	}
	var actions struct{ Actions []deputy.ActionInfo }
	if c.Do("GET", "/v1/actions", "").Read(t, 200, &actions); len(actions.Actions) > 0 {
		t.Errorf("%s is shown %+v", who, actions.Actions)
	}
	var list struct{ Tasks []deputy.Task }
	if c.Do("GET", "/v1/tasks", "").Read(t, 200, &list); slices.ContainsFunc(list.Tasks, func(t deputy.Task) bool {
		return t.Caller != deputy.UIDCaller(aliceUID) && t.Caller != deputy.UIDCaller(aliceUID+100)
	}) {
		t.Errorf("%s is shown the tasks of others", who)
	}
}

// Bob gets alice's number, and nothing of what she may: from his first request
// on, without a reload, and with one. She has it again when the number is hers.
func TestWhoGetsANumberDoesNotGetItsGrants(t *testing.T) {
	d, e := namesDeputy(t)
	d.Start()
	d.Self() // root has no rule, but is an operator
	alice := d.As(aliceUID)
	alice.Ended(alice.Started("m/root", "").ID)
	alice.Do("POST", "/v1/reload", "").Read(t, 200, &struct{}{})
	alice.Ended(alice.Started("m/root", "", "Deputy-End-User", "someone").ID)

	e.must("userdel", "-f", "alice")
	gone(t, d, d.As(aliceUID), "a number without a name")
	gone(t, d, alice, "a connection that was alice's") // it is kept alive
	e.useradd("bob", aliceUID)
	gone(t, d, d.As(aliceUID), "bob")
	asked(t, d, `there is no user "alice": rules that name it grant nothing`)
	if text, err := d.Command("reload").CombinedOutput(); err != nil {
		t.Errorf("the reload fails: %v %s", err, text)
	}
	gone(t, d, d.As(aliceUID), "bob, after a reload,")
	if log := d.Log(); !strings.Contains(log, `m.toml:4:10: the rule grants it nothing: there is no user "alice"`) {
		t.Errorf("the log does not say it:\n%s", log)
	}
	// Another alice is known by another number.
	e.must("userdel", "-f", "bob")
	e.useradd("alice", aliceUID+100)
	gone(t, d, d.As(aliceUID), "alice's old number")
	now := d.As(aliceUID + 100)
	now.Ended(now.Started("m/root", "").ID)
	// A name that has another number than at the load needs a reload.
	e.must("userdel", "-f", "alice")
	e.useradd("alice", aliceUID)
	gone(t, d, d.As(aliceUID), "alice with a new number")
	gone(t, d, now, "the number that was alice's")
	if text, err := d.Command("reload").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	alice = d.As(aliceUID)
	alice.Ended(alice.Started("m/root", "").ID)
	rig.Eventually(t, 30*time.Second, "the log says it", func() bool { // which is written beside all else
		return strings.Contains(d.Log(), fmt.Sprintf(`the user "alice" has uid %d now, and had %d when the policy was loaded`, aliceUID, aliceUID+100))
	})
}

// asked waits until the log has that a name is nobody's. It is denied before: all
// that is left is to ask the name services for it.
func asked(t *testing.T, d *rig.Deputy, text string) {
	t.Helper()
	rig.Eventually(t, 30*time.Second, "the log has "+text, func() bool { return strings.Contains(d.Log(), text) })
}

// The same of a group.
func TestWhoGetsTheNumberOfAGroup(t *testing.T) {
	d, e := namesDeputy(t)
	e.useradd("member", 61009)
	d.Start()
	member := d.As(61009, teamGID)
	member.Ended(member.Started("m/root", "").ID)
	e.must("groupdel", "team")
	e.must("groupadd", "-g", fmt.Sprint(teamGID), "others")
	member.Call("m/root", "").Refused(t, 403, deputy.NotAllowed)
	d.As(61009, teamGID).Call("m/root", "").Refused(t, 403, deputy.NotAllowed)
	alice := d.As(aliceUID)
	asked(t, d, `there is no group "team"`) // the name services were asked, too
	refusal := alice.Call("m/team", "").Refused(t, 503, deputy.CannotEnforce)
	if !strings.Contains(refusal.Detail, `cannot call m/team: there is no group "team"; create it (groupadd --system team)`) {
		t.Error(refusal.Detail)
	}
}

// A task is not started under a number that is not its user's any more; that
// action alone is refused, and doctor and check say why.
func TestATaskWhoseUserIsGone(t *testing.T) {
	d, e := namesDeputy(t)
	g := newGate(t, filepath.Join(d.Work, "gate"))
	d.Start()
	alice := d.As(aliceUID)
	if task := alice.Ended(alice.Started("m/scan", "").ID); alice.Stdout(task.ID) != fmt.Sprintf("scanner %d 65534 65534 %d /opt/scan /bin/sh\n", scannerUID, teamGID) {
		t.Errorf("%s: %q", endOf(task), alice.Stdout(task.ID))
	}
	first := alice.Started("m/wait", "")
	waits := alice.Started("m/wait", "")
	running(t, alice, first.ID)

	e.must("userdel", "-f", "scanner")
	e.useradd("mallory", scannerUID)
	alice.Call("m/scan", "").Refused(t, 503, deputy.CannotEnforce)
	asked(t, d, `there is no user "scanner"`)
	refusal := alice.Call("m/scan", "").Refused(t, 503, deputy.CannotEnforce)
	if want := `cannot call m/scan: there is no user "scanner"; create it (useradd --system scanner) or correct the name`; refusal.Detail != want {
		t.Errorf("%q, want %q", refusal.Detail, want)
	}
	alice.Ended(alice.Started("m/root", "").ID)
	g.open()
	if task := alice.Ended(first.ID); endOf(task) != "succeeded code 0" {
		t.Errorf("the running one: %s %s", endOf(task), reason(task))
	}
	if task := alice.Ended(waits.ID); task.State != deputy.Failed || task.Started != nil || !strings.Contains(reason(task), `there is no user "scanner"`) {
		t.Errorf("the waiting one: %s %q", endOf(task), reason(task))
	}
	program := filepath.Join(rig.Programs(t), "deputy")
	if out, err := e.run(program, "check", "--config", d.Config, d.Config); err != nil || !strings.Contains(out, `m.toml:9:1: what runs as it is refused: there is no user "scanner"`) {
		t.Errorf("check: %v\n%s", err, out)
	}
	if out, _ := e.run(program, "--socket", d.Socket, "doctor", "--json"); !strings.Contains(out, `m/scan is refused: there is no user`) {
		t.Errorf("doctor:\n%s", out)
	}
	e.must("userdel", "-f", "mallory")
	e.useradd("scanner", scannerUID)
	alice.Ended(alice.Started("m/scan", "").ID)
}

// The server is not started as whoever has got its user's number.
func TestTheServersUserIsGone(t *testing.T) {
	d, e := namesDeputy(t)
	d.Start()
	alice := d.As(aliceUID)
	alice.Ended(alice.Started("m/root", "").ID)
	e.must("userdel", "-f", "daemon")
	e.useradd("mallory", 1)
	if err := syscall.Kill(d.Part("deputy-server"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	asked(t, d, "cannot start the server as the user that it was declared to have: ")
	e.must("userdel", "-f", "mallory")
	e.useradd("daemon", 1)
	answering(t, d)
	alice = d.As(aliceUID)
	alice.Ended(alice.Started("m/root", "").ID)
}

// Numbers need no name, neither to ask nor to run as.
func TestNumbersWithoutNames(t *testing.T) {
	d, _ := namesDeputy(t)
	d.Start()
	alice := d.As(aliceUID)
	for action, want := range map[string]string{"m/number": "62345 62345 65534 65534 / /bin/sh\n", "m/numbers": "62345 62345 62346 62346 62347\n"} {
		if task := alice.Ended(alice.Started(action, "").ID); alice.Stdout(task.ID) != want {
			t.Errorf("%s: %q, want %q", action, alice.Stdout(task.ID), want)
		}
	}
}

const foreignModule = `
user = "root"
[allow]
users = ["eve", "local"]
groups = ["ldapteam"]
[action.root]
command = ["/bin/true"]
[action.eve]
user = "eve"
command = ["/bin/sh", "-c", 'echo "$USER $(id -u) $(id -g) $(id -G) $HOME $SHELL"']
`

const eveUID, ldapGID = 62001, 62002

func foreignDeputy(t *testing.T, getent string) (*rig.Deputy, *etc) {
	e := newEtc(t)
	e.asksExtrausers()
	e.useradd("local", 61005)
	e.write("extrausers/passwd", fmt.Sprintf("eve:x:%d:%d:Eve:/home/eve:/bin/bash\nother:x:61009:%d::/:/bin/sh\n", eveUID, eveUID, ldapGID))
	e.write("extrausers/group", fmt.Sprintf("eve:x:%d:\nldapteam:x:%d:eve,other\n", eveUID, ldapGID))
	if getent != "" {
		e.getent(getent)
	}
	d := prepare(t, foreignModule, rig.Files{"deputy.toml": installed}, "--installed")
	d.Wrapper = e.wrapper()
	return d, e
}

// Users and groups that only the name services know are as good as local ones:
// they ask, and tasks run as them with all of their groups.
func TestNamesThatOnlyTheNameServicesKnow(t *testing.T) {
	d, e := foreignDeputy(t, "")
	d.Start()
	eve := d.As(eveUID)
	task := eve.Ended(eve.Started("m/eve", "").ID)
	if want := fmt.Sprintf("eve %d %d %d %d /home/eve /bin/bash\n", eveUID, eveUID, eveUID, ldapGID); eve.Stdout(task.ID) != want {
		t.Errorf("%s %q: %q, want %q", endOf(task), reason(task), eve.Stdout(task.ID), want)
	}
	member := d.As(61009, ldapGID) // whom no rule names: that it has a name is asked for when it asks
	member.Ended(member.Started("m/root", "").ID)
	if a := d.As(61010, ldapGID).Call("m/root", "").Refused(t, 403, deputy.NotAllowed); !strings.Contains(a.Detail, "uid 61010 has no name: no group of its counts") {
		t.Errorf("a number that nobody has: %s", a.Detail)
	}
	var x deputy.Explanation
	if d.Self().Do("POST", "/v1/explain/m/root?as=eve", "").Read(t, 200, &x); !x.Allowed {
		t.Errorf("%+v", x)
	}
	// Local names are looked at for every decision, those of the name services at a
	// reload and every minute.
	e.write("extrausers/passwd", fmt.Sprintf("mallory:x:%d:%d::/:/bin/sh\n", eveUID, eveUID))
	e.write("extrausers/group", fmt.Sprintf("others:x:%d:\n", ldapGID))
	rig.Eventually(t, 100*time.Second, "that they are gone is noticed", func() bool {
		return strings.Contains(d.Log(), `there is no user "eve": rules that name it grant nothing`) && strings.Contains(d.Log(), `there is no group "ldapteam"`)
	})
	eve.Call("m/root", "").Refused(t, 403, deputy.NotAllowed)
	member.Call("m/root", "").Refused(t, 403, deputy.NotAllowed)
	local := d.As(61005)
	local.Call("m/eve", "").Refused(t, 503, deputy.CannotEnforce)
	local.Ended(local.Started("m/root", "").ID)
}

// mute says what it is, then does not end.
const mute = `#!/bin/sh
{ cat /proc/self/status; tr '\0' '\n' </proc/$$/environ | sed 's/^/env /'; tr '\0' ' ' </proc/$$/cmdline; } >/tmp/MARK.$$
exec sleep 1000
`

// Name services that do not answer hold up nothing: what the local files know is
// served, what they lack is denied until it is known, and who asks them has no
// privilege.
func TestNameServicesThatDoNotAnswer(t *testing.T) {
	mark := fmt.Sprintf("deputy-names-%d", os.Getpid())
	d, e := foreignDeputy(t, strings.Replace(mute, "MARK", mark, 1))
	t.Cleanup(func() {
		files, _ := filepath.Glob("/tmp/" + mark + ".*")
		for _, f := range files {
			os.Remove(f)
		}
	})
	began := time.Now()
	d.Start()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the start took %v", took)
	}
	local := d.As(61005)
	local.Ended(local.Started("m/root", "").ID)
	d.As(eveUID).Call("m/root", "").Refused(t, 403, deputy.NotAllowed)
	refusal := local.Call("m/eve", "").Refused(t, 503, deputy.CannotEnforce)
	if !strings.Contains(refusal.Detail, `whether there is a user "eve" is not known: `) || !strings.Contains(refusal.Detail, "; see what `getent passwd eve` says") {
		t.Error(refusal.Detail)
	}
	looked := unprivileged(t, mark)
	if looked == 0 {
		t.Error("getent was not run")
	}
	// Once they answer, they are asked soon.
	e.getentAgain()
	eve := d.As(eveUID)
	rig.Eventually(t, 90*time.Second, "eve is known", func() bool { return eve.Call("m/root", "").Status == 202 })
	nothingAsks(t)
}

// nothingAsks waits until nothing lives of what asked the name services, but the
// newest that may be at work.
func nothingAsks(t *testing.T) {
	t.Helper()
	rig.Eventually(t, 30*time.Second, "nothing of what asked lives", func() bool {
		for _, link := range glob(t, "/proc/[0-9]*/exe") {
			of, _ := os.Readlink(link)
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
			if of == filepath.Join(rig.Programs(t), "deputyd") && strings.Contains(string(line), "--role\x00names") {
				return false
			}
		}
		return true
	})
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// hostileGetent is a getent as one that the name services have taken over would be.
const hostileGetent = `#!/bin/sh
case $1/$2 in
passwd/good) echo "good:x:62010:62010::/:/bin/sh" ;;
passwd/zero) echo "zero:x:0:62010::/root:/bin/sh" ;;
passwd/big) exec cat /dev/zero ;;
passwd/lines) yes "lines:x:62011:62010::/:/bin/sh" ;;
passwd/two) echo "two:x:62012:62010::/:/bin/sh"; echo "good:x:62013:62010::/:/bin/sh" ;;
passwd/other) echo "good:x:62014:62010::/:/bin/sh" ;;
passwd/stops) kill -STOP $$ ;;
passwd/holds) sleep 1000 & echo "holds:x:62015:62010::/:/bin/sh" ;;
passwd/kills) kill -KILL $PPID ;;
passwd/asker) kill -STOP $PPID ;;
group/wheel) echo "wheel:x:0:good" ;;
*) exit 2 ;;
esac
`

// Whatever getent does and says, nobody else's name is known by another number,
// nothing is held up for long, and nothing of it is left.
func TestHostileNameServices(t *testing.T) {
	const module = `
user = "root"
[allow]
users = ["good", "zero", "big", "lines", "two", "other", "stops", "holds", "kills", "asker", "local"]
groups = ["wheel"]
[action.root]
command = ["/bin/true"]
`
	d, e := foreignDeputy(t, hostileGetent)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(d.Log())
		}
	})
	e.write("extrausers/passwd", "good:x:62010:62010::/:/bin/sh\n") // for id
	d.Write(rig.Files{"modules.d/m.toml": module})
	d.Start()
	local, good := d.As(61005), d.As(62010)
	worst := time.Duration(0)
	for _, uid := range []int{62011, 62012, 62013, 62014, 62015} {
		d.As(uid).Call("m/root", "").Refused(t, 403, deputy.NotAllowed)
	}
	rig.Eventually(t, 120*time.Second, "all have been asked for", func() bool {
		time.Sleep(100 * time.Millisecond) // a load, not a flood
		began := time.Now()
		local.Ended(local.Started("m/root", "").ID)
		worst = max(worst, time.Since(began))
		log := d.Log()
		return good.Call("m/root", "").Status == 202 && strings.Contains(log, "getent took longer than 2s") && strings.Contains(log, "getent passwd two ended") &&
			strings.Contains(log, "getent passwd big wrote too much") && strings.Contains(log, `user "zero" is not known: id -G zero ended`)
	})
	if worst > 10*time.Second {
		t.Errorf("a local caller waited %v", worst)
	}
	for _, uid := range []int{62011, 62012, 62013, 62014, 62015} {
		d.As(uid).Call("m/root", "").Refused(t, 403, deputy.NotAllowed)
	}
	d.As(61009, 0).Call("m/root", "").Refused(t, 403, deputy.NotAllowed)
	d.Stop()
	nothingAsks(t)
}

// unprivileged holds what getent wrote of itself against what it may be.
func unprivileged(t *testing.T, mark string) int {
	t.Helper()
	files, err := filepath.Glob("/tmp/" + mark + ".*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var st syscall.Stat_t
		if err := syscall.Stat(f, &st); err != nil {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(f)
		if !strings.Contains(string(text), "/usr/bin/getent") {
			continue // it was killed while it wrote
		}
		for _, want := range []string{
			fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", st.Uid), fmt.Sprintf("Gid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", st.Uid), "Groups:\t \n",
			"NoNewPrivs:\t1\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
			"env PATH=/usr/bin:/bin\n", "env LC_ALL=C\n",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("getent lacks %q:\n%s", want, text)
			}
		}
		if strings.Count(string(text), "\nenv ") != 2 {
			t.Errorf("getent has more of an environment:\n%s", text)
		}
		if st.Uid <= 1<<31-1<<22 {
			t.Errorf("getent ran as uid %d", st.Uid)
		}
	}
	return len(files)
}

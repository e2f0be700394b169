//go:build linux

package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

const subConfig = `
[server]
user = "daemon"
[listen]
line = []
[defaults]
per_caller = { live = 4, rate = "100/s", connections = 12 }
[user.bob]
auditor = true
`

// Whoever is in team may ask; so may bob, carol, and numbers of alice's range.
const subModule = `
user = "root"
[allow]
users = ["carol", "bob", "uid:61050", "NUMBERS"]
groups = ["team"]
[action.true]
command = ["/bin/true"]
[action.say]
command = ["/bin/echo", "said"]
[action.sleep]
grace = "0s"
command = ["/bin/sleep", "1000"]
`

const (
	carolUID = 61051 // has a name, and no number that is anybody else's
	bobUID   = 61060 // lies in alice's second range
	subFirst = 300000
)

// subDeputy is one of a machine on which alice may take 65,536 numbers more.
func subDeputy(t *testing.T) (*rig.Deputy, *etc) {
	e := newEtc(t)
	e.must("groupadd", "-g", fmt.Sprint(teamGID), "team")
	e.useradd("alice", aliceUID, "-G", "team")
	e.useradd("carol", carolUID, "-G", "team")
	e.useradd("bob", bobUID, "-G", "team")
	e.write("etc/subuid", fmt.Sprintf("alice:%d:65536\n%d:61055:10\n", subFirst, aliceUID))
	var numbers []string
	for i := range 40 {
		numbers = append(numbers, fmt.Sprint("uid:", subFirst+i))
	}
	module := strings.ReplaceAll(subModule, "NUMBERS", strings.Join(numbers, `", "`))
	d := prepare(t, module, rig.Files{"deputy.toml": subConfig}, "--installed")
	d.Wrapper = e.wrapper()
	return d, e
}

// Who has become another number in a user namespace keeps the groups, as the
// kernel tells them. They count for nothing: that number alone does.
func TestAUserNamespaceGivesNoGroups(t *testing.T) {
	d, _ := subDeputy(t)
	d.Start()
	if alice := d.As(aliceUID, teamGID); alice.Call("m/true", "").Status != 202 {
		t.Fatal("alice, who is in team, may not ask")
	}
	within := func(n int) *rig.Caller {
		return d.Over(rig.DialInNamespace(t, d.Socket, rig.Range{Owner: aliceUID, First: subFirst, Number: 65536}, n, teamGID))
	}
	sub := within(50)
	for what, a := range map[string]rig.Answer{"call": sub.Call("m/true", ""), "be told what it may": sub.Do("POST", "/v1/explain/m/true", "")} {
		if what == "call" {
			refusal := a.Refused(t, 403, deputy.NotAllowed)
			if !strings.Contains(refusal.Detail, fmt.Sprintf("uid %d lies in a range of alice's (/etc/subuid): neither a name nor a group of its counts", subFirst+50)) {
				t.Errorf("it is not told why: %s", refusal.Detail)
			}
			continue
		}
		var x deputy.Explanation
		if a.Read(t, 200, &x); x.Allowed {
			t.Errorf("a number of a range may %s: %+v", what, x)
		}
	}
	// A rule that names the number holds.
	if a := within(7).Call("m/true", ""); a.Status != 202 {
		t.Errorf("a number that a rule names: %d %s", a.Status, a.Body)
	}
	// A name in a range is whoever owns the range.
	bob := d.As(bobUID, teamGID)
	bob.Call("m/true", "").Refused(t, 403, deputy.NotAllowed)
	bob.Do("POST", "/v1/explain/m/true?as=carol", "").Refused(t, 403, deputy.NotAllowed) // he is no auditor
	if log := d.Log(); !strings.Contains(log, `the rule grants it nothing: the user "bob" has uid 61060, which uid 61001 may take in a user namespace (/etc/subuid)`) ||
		!strings.Contains(log, `the table is for nobody: the user "bob" has uid 61060`) {
		t.Errorf("the log does not say it:\n%s", log)
	}
	// So is one without a name. The user database says that it has none.
	d.As(61070, teamGID).Call("m/true", "").Refused(t, 403, deputy.NotAllowed)
	if a := d.As(61050, teamGID).Call("m/true", ""); a.Status != 202 {
		t.Errorf("a number without a name that a rule names: %d %s", a.Status, a.Body)
	}
	if a := d.As(carolUID, teamGID).Call("m/true", ""); a.Status != 202 {
		t.Errorf("carol: %d %s", a.Status, a.Body)
	}
}

// What a caller may have of anything is shared by all the numbers that it can take.
func TestNumbersOfOneOwnerShareItsLimits(t *testing.T) {
	d, _ := subDeputy(t)
	d.Start()
	alice, carol := d.As(aliceUID, teamGID), d.As(carolUID)
	var live []string
	for i := range 8 { // 4 may live
		a := d.As(subFirst+i, teamGID).Call("m/sleep", "")
		if a.Status == 202 {
			live = append(live, a.Tasks(t)[0].ID)
			continue
		}
		refusal := a.Refused(t, 429, deputy.RateLimited)
		if !strings.Contains(refusal.Detail, fmt.Sprintf("uid:%d", aliceUID)) {
			t.Errorf("it is not said whose limit it is: %s", refusal.Detail)
		}
	}
	if len(live) != 4 {
		t.Errorf("%d tasks live of at most 4", len(live))
	}
	alice.Call("m/sleep", "").Refused(t, 429, deputy.RateLimited)
	own := carol.Started("m/sleep", "")
	d.Stop()
	d.Start() // the journal has them as theirs
	alice, carol = d.As(aliceUID, teamGID), d.As(carolUID)
	alice.Call("m/sleep", "").Refused(t, 429, deputy.RateLimited)
	for _, id := range append(live, own.ID) {
		d.Self().Stop(id, "")
	}
	if a := alice.Call("m/true", ""); a.Status != 202 {
		t.Errorf("after these ended: %d %s", a.Status, a.Body)
	}

	// Of what one person is refused so much is recorded; and whose space it is.
	strangers := []*rig.Caller{d.As(subFirst+100, teamGID), d.As(subFirst+101, teamGID), d.As(subFirst+102, teamGID)}
	for i := range 120 {
		strangers[i%3].Call("m/true", "").Refused(t, 403, deputy.NotAllowed)
	}
	rig.Eventually(t, 20*time.Second, "100 refusals are recorded, and no more", func() bool { return len(d.Events(deputy.Denied)) == 100 })
	first := d.As(subFirst)
	says := first.Ended(first.Started("m/say", "").ID)
	rig.Eventually(t, 20*time.Second, "its output is charged to the owner", func() bool {
		owner := make([]byte, 64)
		n, err := unix.Getxattr(filepath.Join(d.State, "tasks", says.ID), "trusted.deputy.caller", owner)
		return err == nil && string(owner[:n]) == fmt.Sprint("uid:", aliceUID)
	})

	for _, c := range append(strangers, first) {
		c.Close()
	}

	// Calls in a second: 100, of 40 callers.
	time.Sleep(1100 * time.Millisecond)
	var mu sync.Mutex
	answers := map[int]int{}
	began := time.Now()
	together(40, func(i int) {
		c := d.As(subFirst+i, teamGID)
		defer c.Close()
		for range 20 {
			a, err := c.Try("POST", "/v1/actions/m/true", "")
			mu.Lock()
			if err != nil {
				answers[0]++
			} else {
				answers[a.Status]++
			}
			mu.Unlock()
		}
	})
	most := 100 + int(100*time.Since(began).Seconds()) + 1
	if answers[http.StatusAccepted] > most {
		t.Errorf("%d calls of one person were accepted in %v, of at most %d: %v", answers[http.StatusAccepted], time.Since(began), most, answers)
	}

	// Connections: 12, and as many that are told so.
	rig.Eventually(t, 10*time.Second, "alice can connect", func() bool { a, err := alice.Try("GET", "/v1/actions", ""); return err == nil && a.Status == 200 })
	served := 0
	for i := range 30 {
		a, err := d.As(subFirst+i, teamGID).Try("GET", "/v1/actions", "") // it is kept alive
		if err == nil && a.Status == 200 {
			served++
		}
	}
	if served > 12 {
		t.Errorf("%d connections of one person are served, of at most 12", served)
	}
	if a := carol.Do("GET", "/v1/actions", ""); a.Status != 200 {
		t.Errorf("another: %d %s", a.Status, a.Body)
	}
}

// The file is looked at for every decision.
func TestARangeThatIsGivenLater(t *testing.T) {
	d, e := subDeputy(t)
	e.write("etc/subuid", "")
	d.Start()
	bob := d.As(bobUID, teamGID)
	if a := bob.Call("m/true", ""); a.Status != 202 {
		t.Fatalf("bob, before: %d %s", a.Status, a.Body)
	}
	e.write("etc/subuid", fmt.Sprintf("%d:61055:10\n", aliceUID))
	bob.Call("m/true", "").Refused(t, 403, deputy.NotAllowed)
	d.As(bobUID, teamGID).Call("m/true", "").Refused(t, 403, deputy.NotAllowed)
	e.write("etc/subuid", "mallory:61055:2\n")
	if a := bob.Call("m/true", ""); a.Status != 202 {
		t.Errorf("bob, after: %d %s", a.Status, a.Body)
	}
	if slices.Contains(strings.Split(d.Log(), "\n"), "fault") {
		t.Error(d.Log())
	}
}

//go:build linux

package test

import (
	"bufio"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

// TestTwoSecrets: a key can be rotated while it is used.
func TestTwoSecrets(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	old := as(t, a, "panel")
	out, err := d.Command("key", "new", "panel", "--config", d.Config).Output()
	if err != nil {
		t.Fatal(err)
	}
	fresh := asSecret(t, a, "panel", strings.TrimSpace(string(out)))
	for _, s := range []*signer{old, fresh} {
		if answer := s.do("POST", "/v1/actions/m/say", ""); answer.Status != 202 {
			t.Errorf("with two secrets: %d %s", answer.Status, answer.Body)
		}
	}
	path := filepath.Join(d.Config, "keys", "panel")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(path, []byte(rest), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Self().Do("POST", "/v1/reload", "")
	old.do("POST", "/v1/actions/m/say", "").Refused(t, 401, deputy.NotAuthenticated)
	if answer := fresh.do("POST", "/v1/actions/m/say", ""); answer.Status != 202 {
		t.Errorf("after the rotation: %d %s", answer.Status, answer.Body)
	}
}

// TestEndUsersOfKeys: a key that may say for whom it asks gets what the rules
// give for that end user, and no other key gets it by saying so.
func TestEndUsersOfKeys(t *testing.T) {
	d, a := beginNetwork(t, signedModule, rig.Files{"allow.d/alice.toml": `[[allow]]
actions = ["m/wait"]
keys = ["portal", "panel", "stranger"]
users = ["uid:UID"]
end_users = ["alice"]
read = true
stop = true
`})
	portal, panel, stranger := as(t, a, "portal"), as(t, a, "panel"), as(t, a, "stranger")
	const user = "Deputy-End-User"
	task := portal.started("m/for", `{"whom":"alice"}`, user, "alice")
	if task.EndUser == nil || *task.EndUser != "alice" || task.Caller != "key:portal" {
		t.Errorf("the task is for %v of %s", task.EndUser, task.Caller)
	}
	portal.do("POST", "/v1/actions/m/for", `{"whom":"alice"}`, user, "bob").Refused(t, 403, deputy.NotAllowed)
	portal.do("POST", "/v1/actions/m/for", `{"whom":"alice"}`).Refused(t, 403, deputy.NotAllowed)
	panel.do("POST", "/v1/actions/m/say", "", user, "alice").Refused(t, 403, deputy.NotAllowed)

	// Reading and stopping for an end user is for those who may name one, too.
	other := panel.started("m/wait", "")
	path := "/v1/tasks/" + other.ID
	if answer := portal.do("GET", path, "", user, "alice"); answer.Status != 200 {
		t.Errorf("for alice: %d %s", answer.Status, answer.Body)
	}
	portal.do("GET", path, "", user, "bob").Refused(t, 404, deputy.UnknownTask)
	portal.do("GET", path, "").Refused(t, 404, deputy.UnknownTask)
	stranger.do("GET", path, "", user, "alice").Refused(t, 403, deputy.NotAllowed)
	stranger.do("GET", "/v1/tasks", "", user, "alice").Refused(t, 403, deputy.NotAllowed)
	stranger.do("POST", path+"/stop", "", user, "alice").Refused(t, 403, deputy.NotAllowed)
	if os.Geteuid() == 0 {
		d.As(65533).Do("GET", path, "", user, "alice").Refused(t, 403, deputy.NotAllowed)
		d.As(65533).Do("POST", path+"/stop", "", user, "alice").Refused(t, 403, deputy.NotAllowed)
	}
	if answer := portal.do("POST", path+"/stop", `{"grace":"0s"}`, user, "alice"); answer.Status != 200 {
		t.Errorf("stop for alice: %d %s", answer.Status, answer.Body)
	}
	found := slices.ContainsFunc(d.Events(deputy.Accepted), func(e deputy.Event) bool { return e.EndUser == "alice" && e.Caller == "key:portal" })
	if !found {
		t.Error("the journal does not name the end user beside the caller")
	}
	var page struct{ Tasks []deputy.Task }
	as(t, a, "auditor").do("GET", "/v1/tasks?end_user=alice", "").Read(t, 200, &page)
	if len(page.Tasks) != 1 || page.Tasks[0].ID != task.ID {
		t.Errorf("the history has %d tasks for alice", len(page.Tasks))
	}
}

// TestAuditorsAndOperators: what deputy.toml gives a key beyond its rules.
func TestAuditorsAndOperators(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	panel, auditor, operator, stranger := as(t, a, "panel"), as(t, a, "auditor"), as(t, a, "operator"), as(t, a, "stranger")
	task := panel.started("m/wait", "")
	path := "/v1/tasks/" + task.ID
	if answer := auditor.do("GET", path, ""); answer.Status != 200 {
		t.Errorf("an auditor: %d %s", answer.Status, answer.Body)
	}
	auditor.do("POST", path+"/stop", "").Refused(t, 403, deputy.NotAllowed)
	auditor.do("POST", "/v1/reload", "").Refused(t, 403, deputy.NotAllowed)
	auditor.do("POST", "/v1/actions/m/say", "").Refused(t, 403, deputy.NotAllowed)
	var x deputy.Explanation
	auditor.do("POST", "/v1/explain/m/say?as=key%3Apanel", "").Read(t, 200, &x)
	if !x.Allowed || x.Rule == "" {
		t.Errorf("explained for the panel: %+v", x)
	}
	auditor.do("POST", "/v1/explain/m/say?as=key:stranger", "").Read(t, 200, &x)
	if len(x.Denied) == 0 {
		t.Errorf("a denial tells an auditor no rule: %+v", x)
	}
	panel.do("POST", "/v1/explain/m/say?as=key:portal", "").Refused(t, 403, deputy.NotAllowed)
	stranger.do("POST", "/v1/explain/m/say", "").Read(t, 200, &x)
	if refusal := stranger.do("POST", "/v1/actions/m/say", ""); strings.Contains(string(refusal.Body), ".toml") {
		t.Errorf("a denial tells a rule: %s", refusal.Body)
	}
	stranger.do("POST", path+"/stop", "").Refused(t, 404, deputy.UnknownTask)

	if answer := operator.do("POST", "/v1/reload", ""); answer.Status != 200 {
		t.Errorf("an operator reloads: %d %s", answer.Status, answer.Body)
	}
	auditor.do("POST", "/v1/drain", "").Refused(t, 403, deputy.NotAllowed)
	var drain deputy.Drain
	if operator.do("POST", "/v1/drain", "").Read(t, 200, &drain); !drain.Draining || drain.Live != 1 {
		t.Errorf("an operator drains: %+v", drain)
	}
	if operator.do("POST", "/v1/drain", `{"on":false}`).Read(t, 200, &drain); drain.Draining {
		t.Errorf("an operator ends the drain: %+v", drain)
	}
	operator.do("POST", "/v1/drain", `{"on":1}`).Refused(t, 400, deputy.BadRequest)
	if answer := operator.do("POST", path+"/stop", `{"grace":"0s"}`); answer.Status != 200 {
		t.Errorf("an operator stops: %d %s", answer.Status, answer.Body)
	}
	d.Verify()
}

// TestKeyFiles: a key that others could know is not used, and why not is said.
func TestKeyFiles(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	panel := as(t, a, "panel")
	path := filepath.Join(d.Config, "keys", "panel")
	keep := filepath.Join(d.Work, "panel")
	spoil := map[string]func() error{
		"can be read by others (mode 0640)": func() error { return os.Chmod(path, 0o640) },
		"can be read by others (mode 0604)": func() error { return os.Chmod(path, 0o604) },
		"can be read by others (mode 0620)": func() error { return os.Chmod(path, 0o620) },
		"too many levels of symbolic links": func() error { return os.Symlink(keep, path) },
		"is not a regular file":             func() error { return unix.Mkfifo(path, 0o600) },
		"is empty":                          func() error { return os.WriteFile(path, nil, 0o600) },
		"begins with a byte order mark":     func() error { return os.WriteFile(path, []byte("\ufeff"+secrets["panel"]+"\n"), 0o600) },
	}
	if os.Geteuid() == 0 {
		spoil["belongs to uid 1"] = func() error { return os.Chown(path, 1, -1) }
	}
	if err := os.WriteFile(keep, []byte(secrets["panel"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reload := func() {
		t.Helper()
		if answer := d.Self().Do("POST", "/v1/reload", ""); answer.Status != 200 {
			t.Fatalf("reload: %d %s", answer.Status, answer.Body)
		}
	}
	for reason, do := range spoil {
		if reason == "is not a regular file" || strings.HasPrefix(reason, "too many") {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		reload()
		rig.Eventually(t, 10*time.Second, "it is said that the key "+reason, func() bool { return strings.Contains(d.Log(), reason) })
		if answer := panel.do("GET", "/v1/tasks", ""); answer.Status != 401 {
			t.Errorf("a key that %s is used: %d", reason, answer.Status)
		}
		os.Remove(path)
		writeKeys(t, d, map[string]string{"panel": secrets["panel"]})
		reload()
		if answer := panel.do("GET", "/v1/tasks", ""); answer.Status != 200 {
			t.Errorf("after it was mended: %d %s", answer.Status, answer.Body)
		}
	}
	// An editor of Windows ends lines in CR LF; no client signs with the CR.
	if err := os.WriteFile(path, []byte(secrets["panel"]+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reload()
	if answer := panel.do("GET", "/v1/tasks", ""); answer.Status != 200 {
		t.Errorf("a key file with CR LF: %d %s", answer.Status, answer.Body)
	}
}

// TestDoorsNeedKeys: TCP is open only where somebody could ask.
func TestDoorsNeedKeys(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	if err := os.Rename(filepath.Join(d.Config, "keys"), filepath.Join(d.Config, "away")); err != nil {
		t.Fatal(err)
	}
	d.Self().Do("POST", "/v1/reload", "")
	rig.Eventually(t, 10*time.Second, "the doors are closed", func() bool { return !listens(a.http) && !listens(a.line) })
	if answer := d.Self().Do("GET", "/v1/tasks", ""); answer.Status != 200 {
		t.Errorf("the Unix socket: %d", answer.Status)
	}
	if err := os.Rename(filepath.Join(d.Config, "away"), filepath.Join(d.Config, "keys")); err != nil {
		t.Fatal(err)
	}
	d.Self().Do("POST", "/v1/reload", "")
	rig.Eventually(t, 10*time.Second, "the doors are open", func() bool { return listens(a.http) && listens(a.line) })
}

// TestStreamsEndWithThePolicy: a stream of events was asked for under one
// policy. When another is in force, only a new signature can say who listens.
func TestStreamsEndWithThePolicy(t *testing.T) {
	d, a := beginNetwork(t, signedModule, nil)
	panel := as(t, a, "panel")
	resp, err := panel.client.Do(panel.request("GET", "/v1/events", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	until := func(word string) error {
		for {
			text, err := in.ReadString('\n')
			if err != nil || strings.Contains(text, word) {
				return err
			}
		}
	}
	task := panel.started("m/say", "")
	if err := until(task.ID); err != nil {
		t.Fatalf("its own task is not shown: %v", err)
	}
	d.Write(rig.Files{"allow.d/more.toml": "[[allow]]\nactions = [\"m/wait\"]\nkeys = [\"stranger\"]\n"})
	d.Self().Do("POST", "/v1/reload", "")
	panel.started("m/say", "") // the next event
	if err := until("never"); err == nil {
		t.Error("the stream goes on")
	}
	if strings.Contains(d.Log(), "cannot answer") {
		t.Errorf("it is logged as a fault:\n%s", d.Log())
	}
}

// TestManyRequestsOfOneKey: a key has so many requests answered at a time.
func TestManyRequestsOfOneKey(t *testing.T) {
	_, a := beginNetwork(t, signedModule, rig.Files{"deputy.toml": strings.Replace(network, "connections = 1000", "connections = 3", 1)})
	panel, portal := as(t, a, "panel"), as(t, a, "portal")
	task := panel.started("m/wait", "")
	var held []*http.Response
	for range 3 {
		resp, err := panel.client.Do(panel.request("GET", "/v1/tasks/"+task.ID+"/stdout?follow=1", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		held = append(held, resp)
	}
	limited(t, panel.do("GET", "/v1/tasks", ""), "key:panel", "per_caller.connections")
	if answer := portal.do("GET", "/v1/tasks", ""); answer.Status != 200 {
		t.Errorf("another key: %d %s", answer.Status, answer.Body)
	}
	held[0].Body.Close()
	// A peer that has gone looks like one that only sends no more, for a while.
	rig.Eventually(t, 30*time.Second, "one more is answered", func() bool { return panel.do("GET", "/v1/tasks", "").Status == 200 })
}

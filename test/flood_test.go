//go:build linux

package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"deputy/test/rig"
)

// asking is one request of a hostile caller; see test/caller.
type asking struct {
	Method, Path, Body string
	Header             string // one more of the request; empty: none
}

// flood has a user ask as much as it can, until the end of the test or of the
// function that it gives, which tells how many of each status were answered.
func flood(t *testing.T, d *rig.Deputy, uid uint32, verb string, loops int, requests ...asking) (end func() map[int]int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(rig.Programs(t), "caller"), verb, d.Socket, fmt.Sprint(loops))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{}}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if verb == "ask" {
		go func() {
			text := json.NewEncoder(in)
			for _, r := range requests {
				_ = text.Encode(r)
			}
			_, _ = io.WriteString(in, "\n")
		}()
	}
	var answers map[int]int
	end = func() map[int]int {
		if answers == nil {
			answers = map[int]int{}
			in.Close()
			if err := cmd.Wait(); err != nil || json.Unmarshal(out.Bytes(), &answers) != nil {
				t.Errorf("the flood of uid %d: %v %s%s", uid, err, out.String(), said.String())
			}
		}
		return answers
	}
	t.Cleanup(func() { end() })
	return end
}

// A loop of connecting and closing costs its user alone: whoever else connects
// is let in at once, and served. On a machine that has no processor to spare the
// kernel's backlog may fill up all the same, but not each time.
func TestAFloodOfConnectionsKeepsNobodyOut(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, limitModule, rig.Files{"deputy.toml": ""}) // as it is without a setting
	end := flood(t, d, 4, "connect", 1)
	for range 60 { // where some are kept out one will do; where five of six are, none of these does
		answers := flood(t, d, 3, "visit", 10)()
		t.Logf("another user: %v", answers)
		if answers[200] == 10 {
			t.Logf("the flood: %v", end())
			return
		}
	}
	t.Error("each time some connections of another user were refused")
}

// Whoever connects faster than it may waits for itself: what it asks then is
// answered all the same.
func TestWhoConnectsFasterThanItMayWaits(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, limitModule, rig.Files{"deputy.toml": "[defaults]\nper_caller = { live = 100, rate = \"1000/s\", connections = 4 }\n"})
	// Of one user 4 at once and then one each 0.1 ms, 4 of which may wait.
	answers := map[int]int{}
	for _, end := range []func() map[int]int{flood(t, d, 3, "visit", 50), flood(t, d, 4, "visit", 50)} {
		for status, n := range end() {
			answers[status] += n
		}
	}
	if answers[200] != 100 {
		t.Errorf("of 100 connections: %v", answers)
	}
}

//go:build linux

package clients

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"deputy/client"
	"deputy/test/rig"

	"golang.org/x/sys/unix"
)

// TestRestartsOverTCP kills the monitor, and with it the server and its port,
// under clients that wait for a task, follow it, and ask for another, over HTTP.
// They go on, within their patience.
func TestRestartsOverTCP(t *testing.T) {
	d := start(t)
	way := d.ways()[1]
	var running []func()
	var all sync.Mutex
	for _, driver := range drivers(t) {
		p := &play{t: t, driver: driver, way: way, socket: d.Socket, names: map[string]string{"n": "restart-" + driver.name}}
		p.step(step{Do: []string{"call", "m", "hold"}, Params: params1("lock", "{n}"), Want: "tasks {a}"})
		wait := driver.begin(t, p.args(step{Do: []string{"wait", "{a}"}}), p.env(step{Do: []string{"wait"}}))
		follow := driver.begin(t, p.args(step{Do: []string{"follow", "{a}", "stdout"}}), p.env(step{Do: []string{"follow"}}))
		rig.Eventually(t, time.Minute, driver.name+" follows", func() bool { return follow.out.String() == "ready\n" })
		running = append(running, func() {
			if said := wait.end(); said != "state stopped" {
				t.Errorf("%s: wait said %q; stderr %q", driver.name, said, wait.err.String())
			}
			if said := follow.end(); said != "end" || follow.out.String() != "ready\n" {
				t.Errorf("%s: follow said %q, %q; stderr %q", driver.name, said, follow.out.String(), follow.err.String())
			}
		})
	}
	for range 2 {
		monitor := d.Part("--role monitor")
		if err := unix.Kill(monitor, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, time.Minute, "there is another monitor", func() bool { now := d.Part("--role monitor"); return now != 0 && now != monitor })
		var asked sync.WaitGroup
		for _, driver := range drivers(t) { // a call at once: a daemon that was met comes back
			asked.Go(func() {
				p := &play{t: t, driver: driver, way: way, socket: d.Socket}
				run := driver.begin(t, params(driver, "run", "m", "echo"), p.env(step{Do: []string{"run"}}))
				said := run.end()
				all.Lock()
				defer all.Unlock()
				// Where nobody listens yet it is unreachable: this client has met nobody.
				if said != "ok succeeded 0" && said != "exit 0" && !unreachable(said) {
					t.Errorf("%s: run said %q; stderr %q", driver.name, said, run.err.String())
				}
			})
		}
		asked.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := d.Client()
	page, err := c.Tasks(ctx, client.Query{Module: "m", Action: "hold"})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range page.Tasks {
		if _, err := c.Stop(ctx, task.ID, client.StopOptions{}); err != nil {
			t.Error(err)
		}
	}
	for _, end := range running {
		end()
	}
}

func params1(name, text string) map[string]json.RawMessage {
	return map[string]json.RawMessage{name: json.RawMessage(strconv.Quote(text))}
}

func unreachable(said string) bool { return strings.HasPrefix(said, "error unreachable 0 ") }

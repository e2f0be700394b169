//go:build linux

package clients

import (
	"fmt"
	"strings"
	"testing"
)

// What a task is said to be: its state, and the time of its end or null.
const (
	member  = `"id":"t","state":%q,"ended":%s,"reason":"its action was changed while it waited","exit":null,"stdout_bytes":0,"stderr_bytes":0`
	atLast  = `"2026-01-02T03:04:05.000Z"`
	piece   = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDeputy-Next-Offset: 0\r\nDeputy-State: %s\r\nDeputy-Ended: %t\r\n\r\n"
	unended = "meditating"
)

// Whether a task has ended is said by its member ended and by Deputy-Ended alone: the
// name of an end that no client knows keeps none waiting, and that of a state that is
// no end lets none go.
func TestAnUnknownStateIsAnEndWhereItSaysSo(t *testing.T) {
	task := func(state, ended string) string { return "{" + fmt.Sprintf(member, state, ended) + "}" }
	for _, driver := range drivers(t) {
		t.Run(driver.name, func(t *testing.T) {
			t.Parallel()
			for _, state := range []string{"expired", "rejected", "awaiting_their_approval", "frobnicated"} {
				live, over := sized("200 OK", task(unended, "null")), sized("200 OK", task(state, atLast))
				calls := []string{sized("202 Accepted", `{"tasks":[`+task(unended, "null")+`]}`), sized("200 OK", `{"tasks":[`+task(state, atLast)+`]}`)}
				ran := "failed " + state + " -"
				if driver.name == "shell" { // it asks, and waits
					calls, ran = []string{calls[0], live, over}, "exit 255"
					if state == "expired" || state == "rejected" {
						ran = "error " + state + " 0 - its action was changed while it waited\n"
					}
				}
				for _, test := range []struct {
					args    []string
					answers []string
					want    string
				}{
					{params(driver, "run", "m", "a"), calls, ran},
					{[]string{"wait", "t"}, []string{live, live, over}, "state " + state},
					{[]string{"follow", "t", "stdout"}, []string{fmt.Sprintf(piece, unended, false), fmt.Sprintf(piece, state, true)}, "end"},
					{[]string{"follow", "t", "stdout"}, []string{fmt.Sprintf(piece, "running", true)}, "end"},
				} {
					s := serve(t, test.answers)
					run := driver.begin(t, test.args, s.env(test.want))
					if said := run.end(); said != test.want {
						t.Errorf("%s, %s: said %q, want %q; stderr %q", state, test.args[0], said, test.want, run.err.String())
					}
					s.mu.Lock()
					asked := len(s.asked)
					s.mu.Unlock()
					if asked != len(test.answers) {
						t.Errorf("%s, %s: asked %d times, want %d", state, test.args[0], asked, len(test.answers))
					}
				}
			}
			if driver.name == "go" { // its error is one without a code
				return
			}
			s := serve(t, []string{strings.Replace(fmt.Sprintf(piece, "running", false), "Deputy-Ended", "X", 1)})
			if said := driver.begin(t, []string{"follow", "t", "stdout"}, s.env("")).end(); !strings.HasPrefix(said, "error outcome_unknown 200 ") {
				t.Errorf("an answer without Deputy-Ended: said %q", said)
			}
		})
	}
}

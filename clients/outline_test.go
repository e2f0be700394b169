//go:build linux

package clients

import (
	"strings"
	"testing"
)

// A run is given a task that another had asked for: how it ends is told, and there
// is no output.
func TestAnOutlineHasNoOutput(t *testing.T) {
	const members = `"id":"t","params":null,"lock":null,"caller":null,"joined":null,"end_user":null,"progress":null,"reason":"it exited with code 3",
		"state":"failed","ended":"2026-01-02T03:04:05.678Z","exit":{"code":3},"stdout_bytes":null,"stderr_bytes":null,"stdout_gap":null,"stderr_gap":null`
	const want = "failed failed 3"
	for _, driver := range drivers(t) {
		t.Run(driver.name, func(t *testing.T) {
			t.Parallel()
			answers, want := []string{sized("200 OK", `{"tasks":[{`+members+`,"stdout":null,"stderr":null,"truncated":null}]}`)}, want
			if driver.name == "shell" {
				answers, want = append(answers, sized("200 OK", "{"+members+"}")), "exit 3"
			}
			s := serve(t, answers)
			run := driver.begin(t, params(driver, "run", "m", "a"), s.env(want))
			if said := run.end(); said != want && !strings.HasPrefix(said, want+" ") {
				t.Errorf("said %q, want %q; stderr %q", said, want, run.err.String())
			}
			if run.out.String() != "" {
				t.Errorf("stdout %q", run.out.String())
			}
			s.check(driver.name)
		})
	}
}

//go:build linux

package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"deputy/client"
)

// Whatever a task says of itself each client gives through, whether it knows the member
// or not.
func TestEachClientGivesTheMembersThrough(t *testing.T) {
	const task = `{"id":"t","state":"queued","ended":"2026-01-02T03:04:05.000Z","exit":null,
		"waiting":{"for":"queue","queue":"apt","position":2,"since":"2026-01-02T03:04:05.000Z","until":null,"task":null},
		"attempts":[{"attempt":1,"started":null,"ended":null,"exit":null,"reason":null,"stdout":[0,3],"stderr":[0,0]}],
		"result":{"n":42},"usage":null,"confirm":null,"approval":null,"again_of":null,"why":"it hangs","traceparent":null}`
	const want = "apt 2 3 42 it hangs"
	s := serve(t, []string{sized("200 OK", task)})
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	source, program := filepath.Join(dir, "show.c"), filepath.Join(dir, "show")
	text := `#include "` + absolute(t, "c/deputy.h") + `"
int main(int argc, char **argv) {
	struct deputy d = { .address = argv[argc - 4], .key = argv[argc - 3], .secret = argv[argc - 2], .audience = argv[argc - 1] };
	struct deputy_result r;
	int failed = deputy_wait(&d, "t", 0, &r);
	if (!failed && r.ended) fputs(r.answer, stdout);
	deputy_free(&r);
	return failed;
}`
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	for _, c := range [][]string{
		{"php", "-r", `require "php/Deputy.php"; $t = (new Deputy(...array_slice($argv, 1)))->wait("t");
			echo $t["waiting"]["queue"], " ", $t["waiting"]["position"], " ", $t["attempts"][0]["stdout"][1], " ", $t["result"]["n"], " ", $t["why"];`, "--"},
		{"python3", "-B", "-c", `import sys; sys.path.insert(0, "python"); import deputy
t = deputy.Deputy(*sys.argv[1:]).wait("t")
print(t["waiting"]["queue"], t["waiting"]["position"], t["attempts"][0]["stdout"][1], t["result"]["n"], t["why"], end="")`},
		{"node", "-e", `const { Deputy } = require("./node/deputy.cjs"); const [address, key, secret, audience] = process.argv.slice(1);
			new Deputy(address, { key, secret, audience }).wait("t").then((t) =>
				process.stdout.write([t.waiting.queue, t.waiting.position, t.attempts[0].stdout[1], t.result.n, t.why].join(" ")));`, "--"},
		{program},
		{"sh", "shell/deputy.sh", "show", "t"},
	} {
		cmd := exec.Command(c[0], append(c[1:], s.address, "panel", secret, audience)...)
		if c[0] == "sh" {
			cmd = exec.Command(c[0], c[1:]...)
			cmd.Env = append(os.Environ(), "DEPUTY_ADDRESS="+s.address, "DEPUTY_KEY=panel", "DEPUTY_KEY_FILE="+key, "DEPUTY_AUDIENCE="+audience)
		}
		out, err := cmd.Output()
		whole := c[0] == "sh" || c[0] == program // it is given as the daemon sent it
		if err != nil || whole && string(out) != task || !whole && string(out) != want {
			t.Errorf("%s: %q, %v; want %q", c[0], out, err, want)
		}
	}
	got, err := client.Signed(s.address, "panel", []byte(secret), audience).Wait(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprint(*got.Waiting.Queue, " ", *got.Waiting.Position, " ", got.Attempts[0].Stdout[1], " ", got.Result["n"], " ", *got.Why)
	if said != want || got.Usage != nil || got.Confirm != nil || got.AgainOf != nil || got.Attempts[0].Started != nil {
		t.Errorf("go: %q, want %q; %+v", said, want, got)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	whole, err := filepath.Abs(path)
	if err != nil || strings.ContainsAny(whole, "\"\\\n") {
		t.Fatal(whole, err)
	}
	return whole
}

//go:build linux

package httpapi_test

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/refused.txt anew")

// TestRefusals sends every request of testdata/refused.txt and holds the whole
// answer. A case is a line "UID REQUEST", where REQUEST is Go-quoted, and the
// lines of its answer below it, indented. In a request, {own} and {foreign} are
// tasks, {long} is 2,000 times "a", and a blank line is added where it ends
// without one; Content-Length is added to what follows it.
func TestRefusals(t *testing.T) {
	const path = "testdata/refused.txt"
	r := start(t)
	own, foreign := r.Accept("uid:33", "demo", "echo", nil), r.Accept("uid:34", "demo", "echo", nil)
	r.sync()
	stand := strings.NewReplacer("{own}", own, "{foreign}", foreign, "{long}", strings.Repeat("a", 2000), "{deep}", strings.Repeat("[", 200))
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rewritten strings.Builder
	lines := strings.Split(strings.TrimRight(string(golden), "\n"), "\n")
	cases := 0
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		rewritten.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, quoted, _ := strings.Cut(line, " ")
		uid, err := strconv.ParseUint(user, 10, 32)
		request, unquoteErr := strconv.Unquote(quoted)
		if err != nil || unquoteErr != nil {
			t.Fatalf("%s:%d: %v, %v", path, i+1, err, unquoteErr)
		}
		var want []string
		for at := i + 1; i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  "); at++ {
			i++
			want = append(want, strings.TrimPrefix(lines[i], "  "))
		}
		cases++
		got := strings.TrimRight(strings.ReplaceAll(r.raw(uint32(uid), finish(stand.Replace(request))), "\r", ""), "\n")
		got = strings.NewReplacer(own, "{own}", foreign, "{foreign}", strings.Repeat("a", 2000), "{long}").Replace(got)
		if got != strings.Join(want, "\n") && !*update {
			t.Errorf("%s: %s\n got %s\nwant %s", path, line, got, strings.Join(want, "\n"))
		}
		rewritten.WriteString("  " + strings.ReplaceAll(got, "\n", "\n  ") + "\n")
	}
	if cases < 60 {
		t.Errorf("%s holds only %d cases", path, cases)
	}
	if *update {
		if err := os.WriteFile(path, []byte(rewritten.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// finish makes a whole HTTP request of the short form of the golden file.
func finish(text string) string {
	head, body, hasBody := strings.Cut(text, "\n\n")
	first, rest, _ := strings.Cut(head, "\n")
	if !strings.Contains(first, " HTTP/") {
		first += " HTTP/1.1"
	}
	out := first + "\r\nHost: x\r\n"
	if rest != "" {
		out += strings.ReplaceAll(rest, "\n", "\r\n") + "\r\n"
	}
	lower := strings.ToLower(rest)
	if hasBody && !strings.Contains(lower, "content-length:") && !strings.Contains(lower, "transfer-encoding:") {
		out += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	return out + "\r\n" + body
}

package schema

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// patterns are written as RE2 has them; those that ECMA 262 has, too, come first
// and are told as they are.
var patterns = []struct {
	re2  string
	same bool
}{
	{`^[a-z0-9.@-]+$`, true},
	{`^[a-z][a-z0-9_-]{0,30}$`, true},
	{`^(a|b)?c{2,3}d*?$`, true},
	{`^(?:v\d+\.\d+|latest)$`, true},
	{`^\w+/[^/]+$`, true},
	{`^[^\\]+$`, true},
	{`^[A-Za-z_ @:,=%!~"'<>;.#*+?()|$/{}-]$`, true},
	{`^$`, true},

	{`^.+$`, false},
	{`^(?i)abc$`, false},
	{`^(?i:straße|k)$`, false},
	{`\Aab\z`, false},
	{`^(?P<name>[a-c]+)$`, false},
	{`^[[:alpha:]][[:alnum:]]*$`, false},
	{`^[[:^digit:]]+$`, false},
	{`^[]a]+$`, false},
	{`^a{,3}$`, false},
	{`^}{1}$`, false},
	{`^\x{1F600}|\x41$`[:len(`^\x{1F600}`)] + `$`, false},
	{`^\Qa.b*\E$`, false},
	{`^(?s).{2}$`, false},
	{`(?m)^a$`, false},
	{`^(?m:a$\nb)$`, false},
	{`^\s+$`, false},
	{`^[^\s]+$`, false},
	{`^\a\f\t\n\r\v$`, false},
	{`^\101$`, false},
	{`^[\x00-\x{10FFFF}]$`, false},
	{`^\pL+$`, false},
	{`^\p{Greek}$`, false},
	{`^\PN+$`, false},
	{`^(a*)*(?U)b+?$`, false},
	{`^[a&&b]$`, false},
	{`^\#\-\@\ $`, false},
	{`^(?:)$`, true},
	{`^(?:^){2}a$`, true},
	{`^é{2}ü?$`, true},
	{`^\bab\b$`, true},
	{`^[\d-x]$`, false},
	{`^\C$`, false},
}

// texts are what the patterns are tried on.
var texts = []string{
	"", "a", "b", "ab", "abc", "ABC", "aBc", "cc", "acccd", "v1.2", "latest", "x/y", "a/b/c", "a.b*", "nginx.service", "\n", "a\nb", "a\n", "\r", "\u2028", "a\u2028b",
	"\u00a0", " ", "  ", "\t ", "\v", "\ufeff", "é", "éé", "ééü", "ß", "STRASSE", "straße", "STRAßE", "K", "\u212a", "k", "α", "λ", "я", "1", "12", "٣", "\U0001F600",
	"\U0001F600\U0001F600", "]", "]a", "{", "}", "a{,3}", "aaa", "}{1}", "\a\f\t\n\r\v", "A", "\\", "-", "d", "x", "&", "#-@ ", "bb", "aab", "_", "\x00", "\x7f", "\U0010FFFF", "}}", "\ud7ff",
}

// TestECMA holds what is told against Node's own reading, which is that of ECMA 262.
func TestECMA(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		if os.Geteuid() == 0 {
			t.Fatal("needs node: test/run installs it")
		}
		t.Skip("needs node")
	}
	var told []string
	for _, p := range patterns {
		re, err := regexp.Compile(p.re2)
		if err != nil {
			told = append(told, "") // nothing that a manifest may hold
			continue
		}
		text := ecma(re)
		if text == "" && len(p.re2) < 5 {
			t.Errorf("%s is not told", p.re2)
		}
		if (text == p.re2) != p.same {
			t.Errorf("%s is told as %s", p.re2, text)
		}
		told = append(told, text)
	}
	input, err := json.Marshal(map[string]any{"patterns": told, "texts": texts})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "-e", `
const { patterns, texts } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(patterns.map((p) => {
  try { const re = new RegExp(p, 'u'); return texts.map((t) => re.test(t)); } catch (e) { return String(e); }
})));`)
	cmd.Stdin = strings.NewReader(string(input))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers []any
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}
	for i, answer := range answers {
		if told[i] == "" {
			continue
		}
		list, ok := answer.([]any)
		if !ok {
			t.Errorf("%s is told as %s: %v", patterns[i].re2, told[i], answer)
			continue
		}
		re := regexp.MustCompile(patterns[i].re2)
		for j, got := range list {
			if want := re.MatchString(texts[j]); got != want {
				t.Errorf("%s, told as %s: %q matches: %v, want %v", patterns[i].re2, told[i], texts[j], got, want)
			}
		}
	}
}

// What is told at length, or not at all, has the original beside it.
func TestPatternIsToldBesideItsTranslation(t *testing.T) {
	for re2, want := range map[string][2]any{
		`^[a-z]+$`:                  {`^[a-z]+$`, nil},
		`^(?i)a$`:                   {`^[Aa]$`, `^(?i)a$`},
		`^[\pL\pN\pP\pS]{1,9}\pM+$`: {nil, `^[\pL\pN\pP\pS]{1,9}\pM+$`},
	} {
		p := &Param{Type: "string", Pattern: regexp.MustCompile(re2)}
		s := p.JSONSchema()
		if s["pattern"] != want[0] || s["x-pattern-re2"] != want[1] {
			t.Errorf("%s: %v beside %v, want %v", re2, s["pattern"], s["x-pattern-re2"], want)
		}
	}
}

package schedule

import (
	"errors"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/refused.txt anew")

const golden = "testdata/refused.txt"

// refusal is one case of the golden file.
type refusal struct {
	line            int // of the text, from 0
	key, text, want string
}

func refusals(t testing.TB) (lines []string, cases []refusal) {
	t.Helper()
	file, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	lines = strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
	key := ""
	for i, line := range lines {
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "  "):
			cases[len(cases)-1].want = strings.TrimPrefix(line, "  ")
		case strings.HasPrefix(line, `"`):
			text, err := strconv.Unquote(line)
			if err != nil {
				t.Fatalf("%s:%d: %v", golden, i+1, err)
			}
			cases = append(cases, refusal{line: i, key: key, text: text})
		default:
			key = line
		}
	}
	return lines, cases
}

// read reads a text as what the key says.
func read(t testing.TB, key, text string) error {
	t.Helper()
	var err error
	switch key {
	case "cron":
		_, err = ParseCron(text, time.UTC)
	case "every":
		var span time.Duration
		if span, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		_, err = NewEvery(span)
	case "zone":
		_, err = Zone(text)
	default:
		t.Fatalf("there is no %q", key)
	}
	return err
}

func TestEveryRefusalHasItsExactMessageAPlaceAndARemedy(t *testing.T) {
	lines, cases := refusals(t)
	if len(cases) < 90 {
		t.Errorf("%s holds only %d cases", golden, len(cases))
	}
	written := make(map[int]string, len(cases))
	for _, c := range cases {
		err := read(t, c.key, c.text)
		var refused *Error
		if !errors.As(err, &refused) {
			t.Errorf("%s:%d: %q was accepted, or the error is a %T", golden, c.line+1, c.text, err)
			continue
		}
		if refused.Key != c.key || refused.At < 0 || refused.At > len(c.text) || refused.Reason == "" || refused.Remedy == "" || len(err.Error()) > 400 {
			t.Errorf("%s:%d: %#v has no place or no remedy, or is endless", golden, c.line+1, refused)
		}
		if err.Error() != c.want && !*update {
			t.Errorf("%s:%d: %q\n got %s\nwant %s", golden, c.line+1, c.text, err, c.want)
		}
		written[c.line] = err.Error()
	}
	if !*update {
		return
	}
	var anew strings.Builder
	for i, line := range lines {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		anew.WriteString(line + "\n")
		if message, ok := written[i]; ok {
			anew.WriteString("  " + message + "\n")
		}
	}
	if err := os.WriteFile(golden, []byte(anew.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheErrorSaysWhereTheWrongPartBegins(t *testing.T) {
	for text, want := range map[string]int{
		"30 3 * * * *":       11,
		"  0  24 * * *":      5,
		"0,61 * * * *":       2,
		"0 0 * * 1,x":        10,
		"0 0-5/0 * * *":      6,
		"0\t0 * 1-13 *":      8,
		"0 0 1 * mon":        4,
		"30 3 * *":           8,
		" @daily * ":         8,
		"@reboot":            0,
		"5,10-40/x * * *  *": 8,
	} {
		_, err := ParseCron(text, time.UTC)
		var refused *Error
		if !errors.As(err, &refused) || refused.At != want {
			t.Errorf("%q: %v, at %d; want %d", text, err, refused.At, want)
		}
	}
}

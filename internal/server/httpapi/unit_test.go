//go:build linux

package httpapi

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"deputy"
	"deputy/internal/request"
)

// A line of the table that does not say what guards it is open to nobody.
func TestEveryRouteHasAnAccess(t *testing.T) {
	if routes := table(request.Routes()); len(routes) < 10 {
		t.Errorf("%d routes", len(routes))
	}
	handle := (*exchange).health
	for _, c := range []struct {
		line route
		want string
	}{
		{route{method: "GET", path: "/v1/forgotten", handle: handle}, "the route GET /v1/forgotten has no access"},
		{route{method: "GET", path: "/v1/empty", access: public}, "the route GET /v1/empty has no handler"},
		{route{method: "GET", path: "/v1/whole", access: public, handle: handle}, ""},
	} {
		func() {
			defer func() {
				if said, _ := recover().(string); said != c.want {
					t.Errorf("%s: %q", c.line.path, said)
				}
			}()
			ready([]route{c.line})
		}()
	}
}

// What is asked with a POST the monitor reads in a signed request, too, and whatever it
// reads there is served.
func TestEveryPostIsReadForTheMonitor(t *testing.T) {
	asks := request.Routes()
	served := map[string]bool{}
	for _, r := range table(asks) {
		if served[r.method+r.path] {
			t.Errorf("%s %s has two lines", r.method, r.path)
		}
		served[r.method+r.path] = true
		at := request.Target{Path: r.segments}
		var body []byte
		if r.path == "/v1/queues/{name}" { // it has no default
			body = []byte(`{"paused":true}`)
		}
		_, err := asks.Read(r.method, at, body, nil)
		if r.method == http.MethodPost && err != nil {
			t.Errorf("%s: %v", r.path, err)
		}
	}
	for _, r := range asks {
		if !served[r.Method+r.Path] {
			t.Errorf("%s %s is not served", r.Method, r.Path)
		}
	}
}

// A larger body has more time, as much as its sender needs who sends a little.
func TestALargeBodyHasTime(t *testing.T) {
	for n, want := range map[int64]time.Duration{0: requestTime, defaultBody: requestTime, 1 << 20: requestTime + 32*time.Second, 16 << 20: requestTime + 512*time.Second} {
		if got := bodyTime(n); got != want {
			t.Errorf("%d bytes: %v, want %v", n, got, want)
		}
	}
}

func TestWholeRunes(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "abc": 3, "aé": 3, "a\xc3": 1, "a\xe2\x82": 1, "a\xe2": 1, "\xf0\x9f\x98": 0, "\xf0\x9f\x98\x80": 4,
		"a\xff": 2, "\x82\x82\x82\x82": 4, "a\xe2\x28": 3, "\xc3\xc3": 1, "a\xf0\x9f\x98\x80\xe2\x82\xac": 8,
	} {
		if got := wholeRunes([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// TestTextInPieces: however the bytes come, no character that is whole in them
// is split, and every invalid byte is one U+FFFD.
func TestTextInPieces(t *testing.T) {
	const text = "aé€😀\xff\xe2\x82x\xf0\x9f\x98€\x80"
	want := strings.Map(func(r rune) rune { return r }, text) // one U+FFFD for each invalid byte
	for size := 1; size < 6; size++ {
		var got strings.Builder
		var held []byte
		for rest := []byte(text); len(rest) > 0; {
			n := min(size, len(rest))
			p := append(held, rest[:n]...)
			rest = rest[n:]
			whole := len(p)
			if len(rest) > 0 {
				whole = wholeRunes(p)
			}
			for _, r := range string(p[:whole]) {
				got.WriteRune(r)
			}
			held = append([]byte(nil), p[whole:]...)
			if len(held) >= utf8.UTFMax {
				t.Fatalf("%d bytes are held back", len(held))
			}
		}
		if got.String() != want {
			t.Errorf("in pieces of %d: %q, want %q", size, got.String(), want)
		}
	}
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	for code, want := range map[deputy.Code]int{
		deputy.BadRequest: 400, deputy.BadJSON: 400, deputy.BadParam: 422, deputy.NotAuthenticated: 401, deputy.NotAllowed: 403,
		deputy.UnknownAction: 404, deputy.UnknownTask: 404, deputy.Busy: 409, deputy.NotStoppable: 409, deputy.IdempotencyMismatch: 422,
		deputy.TooLarge: 413, deputy.RateLimited: 429, deputy.NotDurable: 503, deputy.CannotEnforce: 503, deputy.OutcomeUnknown: 500,
	} {
		if p := problemOf(deputy.Refuse(code, "x")); p.Status != want || p.Title != http.StatusText(want) {
			t.Errorf("%s: %d %s", code, p.Status, p.Title)
		}
	}
	if p := problemOf(errors.New("open /secret/path")); p.Status != 500 || strings.Contains(p.Detail, "secret") {
		t.Errorf("%+v", p)
	}
}

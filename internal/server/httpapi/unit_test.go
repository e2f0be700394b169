//go:build linux

package httpapi

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"deputy"
	"deputy/internal/server/share"
	"deputy/internal/wall"
)

// A line of the table that does not say what guards it is open to nobody.
func TestEveryRouteHasAnAccess(t *testing.T) {
	if routes := (&API{}).table(); len(routes) < 10 {
		t.Errorf("%d routes", len(routes))
	}
	defer func() {
		if said, _ := recover().(string); said != "the route GET /v1/forgotten has no access" {
			t.Errorf("a route without one: %q", said)
		}
	}()
	ready([]route{{method: "GET", path: "/v1/forgotten"}})
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

// oneWay gives the monitor's end what the server's end wrote.
type oneWay struct{ *bytes.Reader }

func (oneWay) Write(p []byte) (int, error) { return len(p), nil }

// FuzzBody: whatever body is taken crosses the wall, and means the same there.
// A body that broke the wall's protocol would cost the server its life.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		"", "[]", "{}", `{"a":1,"b":[true,null,"x"],"c":{"d":-1.5e3}}`, `{"a":1,"A":2}`, "{\"a\":\"\xff\"}", `{"\u0000":1}`,
		`{"a":` + strings.Repeat("[", 29) + strings.Repeat("]", 29) + `}`, `{"a":` + strings.Repeat("[", 40) + `}`,
		`{"` + strings.Repeat("n", 1025) + `":1}`, `{"a":` + strings.Repeat("1", 1025) + `}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		x := &exchange{peer: &peer{}, body: body, r: &http.Request{}, api: &API{work: share.NewDesks(1)}}
		object, err := x.object()
		if err != nil {
			var refused *deputy.Error
			if !errors.As(err, &refused) || refused.Code != deputy.BadJSON || refused.Detail == "" {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		sent := wall.Request{Kind: wall.Call, ID: 1, Connection: 2, Module: "m", Action: "a", Params: object}
		frame, err := sent.Encode()
		if err != nil {
			t.Fatalf("cannot be sent: %v", err)
		}
		got, err := wall.NewPeer(oneWay{bytes.NewReader(frame)}).Receive()
		if err == nil {
			err = got.Unpack()
		}
		if err != nil {
			t.Fatalf("breaks the wall: %v", err)
		}
		got.Size = 0 // the monitor's own
		if !reflect.DeepEqual(sent, *got) {
			t.Fatalf("means something else: %v\n%v", sent, *got)
		}
	})
}

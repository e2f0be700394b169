package lineproto

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"deputy"
	"deputy/internal/keyvalue"
	"deputy/internal/server/asker"
	"deputy/internal/server/share"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// Every code has its number.
func TestNumbers(t *testing.T) {
	for _, test := range []struct {
		e    *deputy.Error
		want int
	}{
		{&deputy.Error{Code: deputy.UnknownAction, Missing: "action"}, 1},
		{&deputy.Error{Code: deputy.UnknownAction, Missing: "module"}, 4},
		{errNoAction, 3},
		{&deputy.Error{Code: deputy.NotAuthenticated}, 3},
		{&deputy.Error{Code: deputy.BadRequest}, 5},
		{&deputy.Error{Code: deputy.BadJSON}, 5},
		{&deputy.Error{Code: deputy.BadParam}, 5},
		{&deputy.Error{Code: deputy.TooLarge}, 5},
		{&deputy.Error{Code: deputy.IdempotencyMismatch}, 5},
		{&deputy.Error{Code: deputy.NotAllowed}, 6},
		{&deputy.Error{Code: deputy.Busy}, 7},
		{&deputy.Error{Code: deputy.RateLimited}, 2},
		{&deputy.Error{Code: deputy.NotDurable}, 2},
		{&deputy.Error{Code: deputy.NotStoppable}, 2},
		{&deputy.Error{Code: deputy.OutcomeUnknown}, 2},
		{&deputy.Error{Code: deputy.CannotEnforce}, 2},
		{&deputy.Error{Code: deputy.UnknownTask}, 2},
	} {
		if got := number(test.e); got != test.want {
			t.Errorf("%s (%s) is number %d, want %d", test.e.Code, test.e.Missing, got, test.want)
		}
	}
}

// Whatever a refusal says, one recv(8192) takes it whole, and it is JSON.
func TestRefusalsAreShort(t *testing.T) {
	for _, detail := range []string{"", strings.Repeat("x", 100_000), strings.Repeat("ä\"\n", 10_000), strings.Repeat("\x00", 9000)} {
		text := refused(deputy.Refuse(deputy.BadParam, "%s", detail)).bytes()
		var a struct {
			Success bool
			Msg     struct {
				Number int `json:"err_code"`
				Code   string
				Detail string
			}
		}
		if err := json.Unmarshal(text, &a); err != nil || len(text) > maxAnswer || a.Success || a.Msg.Number != 5 || a.Msg.Code != "bad_param" {
			t.Errorf("%d bytes, %v: %.200s", len(text), err, text)
		}
	}
}

// monitor answers what a test says, and keeps what it was asked.
type monitor struct {
	asked   []wall.Request
	outcome wall.Outcome
	err     error
}

func (m *monitor) Do(_ context.Context, r wall.Request) (wall.Outcome, error) {
	m.asked = append(m.asked, r)
	return m.outcome, m.err
}

// What is no answer of the monitor's own.
func TestAnswers(t *testing.T) {
	legacy := "module:m\naction:a\nsignature:" + signature.Legacy([]byte("x"), "m") + "\n\n"
	m := &monitor{}
	askers := asker.New(m, nil, &wall.Greeting{})
	afar := askers.Network(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)})
	s := New(askers, slog.New(slog.DiscardHandler), share.NewBodies(), share.NewBodies())
	if got := string(s.remote(afar, []byte(legacy), false).bytes()); !strings.Contains(got, `"err_code": 3`) || !strings.Contains(got, "loopback") || m.asked != nil {
		t.Errorf("the original's signature from afar: %s, asked %+v", got, m.asked)
	}
	if got := s.ours(askers.Local(wall.Connection{Over: true}), []byte("module:m\naction:a\n\n")).bytes(); !strings.Contains(string(got), `"err_code": 2, "code": "rate_limited"`) || m.asked != nil {
		t.Errorf("a connection too many: %s", got)
	}
	m.outcome = wall.Outcome{Tasks: []string{}}
	if got := string(s.remote(afar, []byte(legacy), true).bytes()); got != `{"success": true, "msg": "a ok", "tasks": []}`+"\n" {
		t.Errorf("answered: %s", got)
	}
	if r := m.asked[0]; r.Transport != wall.Legacy || string(r.Body) != legacy || r.Module != "" || r.Params != nil {
		t.Errorf("asked: %+v", r)
	}
	m.err = errors.New("gone")
	if got := s.remote(afar, []byte(legacy), true).bytes(); !strings.Contains(string(got), `"err_code": 2, "code": "outcome_unknown"`) {
		t.Errorf("without an answer: %s", got)
	}
}

// A message that is read is whole, and not a byte of what follows is in it.
func FuzzRead(f *testing.F) {
	f.Add("a:b\n\nrest")
	f.Add("a:b\r\n\r\n\n")
	f.Add("\n")
	f.Add(strings.Repeat("a:b\n", 70) + "\n")
	f.Add(strings.Repeat("a", 9000))
	f.Fuzz(func(t *testing.T, text string) {
		one, other := share.NewBodies().Hold("uid:1"), share.NewBodies().Hold("uid:1")
		message, refusal := read(strings.NewReader(text), &one)
		again, refusalAgain := read(iotest.OneByteReader(strings.NewReader(text)), &other)
		if !bytes.Equal(message, again) || (refusal == nil) != (refusalAgain == nil) {
			t.Fatalf("at once %q, %v; byte by byte %q, %v", message, refusal, again, refusalAgain)
		}
		if refusal != nil {
			return
		}
		if n := keyvalue.Complete([]byte(text)); n != len(message) || text[:n] != string(message) {
			t.Fatalf("read %d bytes of a message of %d", len(message), n)
		}
	})
}

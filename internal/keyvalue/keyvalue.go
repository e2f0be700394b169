// Package keyvalue reads the 'Key: Value' messages that the original daemon
// spoke:
//
//	action: start
//	module: SCAN_MODULE
//	task_ids: 1, 2
//	(an empty line)
//
// The space is optional, keys are in any case, lines end in LF or CRLF. One
// space after the colon is dropped and nothing else. The server reads messages
// of callers on a Unix socket with it, the monitor those whose signature it has
// verified.
package keyvalue

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"deputy"
	"deputy/internal/request"
	"deputy/internal/strictjson"
)

// Limits of a message.
const (
	MaxMessage = 16 << 10 // bytes
	MaxLine    = 8 << 10  // bytes
	MaxLines   = 64
)

// Message is one message, read.
type Message struct {
	Module, Action          string
	EndUser, IdempotencyKey string
	Authorization           string // what the first line says, if it is an Authorization line
	Signature               string // of the original's scheme
	Params                  deputy.Params
}

// Authorization takes the first line off a message if it is an Authorization.
// What a Deputy1 signature covers is body: all bytes after that line.
func Authorization(message []byte) (value string, body []byte) {
	line, rest, found := bytes.Cut(message, []byte{'\n'})
	key, text, err := split(strings.TrimSuffix(string(line), "\r"))
	if !found || err != nil || key != "authorization" {
		return "", message
	}
	return text, rest
}

// Complete says whether message ends with its empty line: its length with that
// line, or 0 if more must come.
func Complete(message []byte) int {
	start := 0
	for {
		end := bytes.IndexByte(message[start:], '\n')
		if end < 0 {
			return 0
		}
		line := message[start : start+end]
		start += end + 1
		if len(bytes.TrimSuffix(line, []byte{'\r'})) == 0 {
			return start
		}
	}
}

// CheckSize refuses what is too large, also before the message is complete.
func CheckSize(message []byte) error {
	if len(message) > MaxMessage {
		return fmt.Errorf("cannot read the message: it has more than %d bytes", MaxMessage)
	}
	lines := bytes.Split(message, []byte{'\n'})
	if len(lines) > MaxLines+2 { // the empty line and what follows the last feed
		return fmt.Errorf("cannot read the message: it has more than %d lines", MaxLines)
	}
	for _, line := range lines {
		if len(line) > MaxLine {
			return fmt.Errorf("cannot read the message: a line has more than %d bytes", MaxLine)
		}
	}
	return nil
}

// Parse reads a whole message, its Authorization line included if it has one.
func Parse(message []byte) (*Message, error) {
	if err := CheckSize(message); err != nil {
		return nil, err
	}
	n := Complete(message)
	if n == 0 {
		return nil, errors.New("cannot read the message: it does not end with an empty line")
	}
	if !utf8.Valid(message[:n]) {
		return nil, errors.New("cannot read the message: it is not UTF-8")
	}
	m := &Message{Params: deputy.Params{}}
	seen := map[string]bool{}
	var object deputy.Params
	for i, line := range strings.Split(string(message[:n]), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			break
		}
		key, value, err := split(line)
		if err != nil {
			return nil, fmt.Errorf("cannot read line %d: %w", i+1, err)
		}
		if seen[key] {
			return nil, fmt.Errorf("cannot read line %d: the key %q stands twice", i+1, key)
		}
		seen[key] = true
		if object, err = m.take(key, value, i, object); err != nil {
			return nil, fmt.Errorf("cannot read line %d: %w", i+1, err)
		}
	}
	if object == nil {
		return m, nil
	}
	if len(m.Params) > 0 {
		return nil, errors.New("cannot read the message: it has params both in a JSON object and as lines")
	}
	m.Params = object
	return m, nil
}

// take puts one line where it belongs. Keys with a hyphen cannot be params.
func (m *Message) take(key, value string, line int, object deputy.Params) (deputy.Params, error) {
	switch key {
	case "module":
		m.Module = value
	case "action":
		m.Action = value
	case "end-user":
		m.EndUser = value
		if !request.IsEndUser(value) {
			return object, fmt.Errorf("End-User must be 1 to %d bytes of UTF-8 on one line, without a blank at its beginning or its end; leave it out if there is none", request.MaxName)
		}
	case "idempotency-key":
		m.IdempotencyKey = value
		if !request.IsKey(value) {
			return object, fmt.Errorf("Idempotency-Key must be 1 to %d visible ASCII characters; a UUID serves well", request.MaxName)
		}
	case "signature":
		m.Signature = value
	case "authorization":
		if line != 0 {
			return object, errors.New("an Authorization must be the first line")
		}
		m.Authorization = value
	case "params":
		read, err := strictjson.Object([]byte(value), strictjson.Limits{})
		return read, err
	default:
		m.Params[key] = deputy.Text(value)
	}
	return object, nil
}

func split(line string) (key, value string, err error) {
	key, value, found := strings.Cut(line, ":")
	key = strings.ToLower(strings.TrimRight(key, " \t"))
	switch {
	case !found:
		return "", "", fmt.Errorf("%.40q is not 'Key: Value'", line)
	case key == "" || strings.ContainsAny(key, " \t"):
		return "", "", fmt.Errorf("%.40q is not a key", key)
	}
	return key, strings.TrimPrefix(value, " "), nil
}

package lineproto

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"deputy"
	"deputy/internal/keyvalue"
	"deputy/internal/server/asker"
	"deputy/internal/server/share"
	"deputy/internal/wall"
)

// shortMessage is how long a message may be that takes nothing of the room for
// bodies, in bytes.
const shortMessage = 2 << 10

// read takes one message off a connection, its empty line included, and no
// byte of what follows.
func read(r io.Reader, room *share.Hold) ([]byte, *deputy.Error) {
	in := bufio.NewReaderSize(r, keyvalue.MaxLine+2) // a line and its end
	var message []byte
	for lines := 1; ; lines++ {
		line, err := in.ReadSlice('\n')
		message = append(message, line...)
		if len(message) > shortMessage {
			var full *deputy.Error
			if errors.As(room.Grow(keyvalue.MaxMessage), &full) {
				return nil, full
			}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, malformed("a line has more than %d bytes", keyvalue.MaxLine)
		case len(message) > keyvalue.MaxMessage:
			return nil, malformed("it has more than %d bytes", keyvalue.MaxMessage)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, malformed("it was not finished within %s; it ends with an empty line", messageTime)
		case err != nil:
			return nil, malformed("it does not end with an empty line")
		case len(bytes.TrimSuffix(line, []byte("\r\n"))) == 0 || len(line) == 1:
			return message, nil
		case lines > keyvalue.MaxLines:
			return nil, malformed("it has more than %d lines", keyvalue.MaxLines)
		}
	}
}

func malformed(format string, args ...any) *deputy.Error {
	return deputy.Refuse(deputy.BadRequest, "cannot read the message: "+format, args...)
}

// ours answers a peer that the monitor has identified.
func (s *Server) ours(who *asker.Session, message []byte) answer {
	if err := who.Refused(); err != nil {
		return refused(refusalOf(err))
	}
	m, err := keyvalue.Parse(message)
	switch {
	case err != nil:
		return refused(deputy.Refuse(deputy.BadRequest, "%v", err))
	case m.Authorization != "" || m.Signature != "":
		return refused(deputy.Refuse(deputy.NotAuthenticated,
			"cannot take a signature here: on this socket the caller is the user who connects; leave it out"))
	}
	return s.ask(who, m, wall.Request{
		Kind: wall.Call, Module: m.Module, Action: m.Action,
		Key: m.IdempotencyKey, EndUser: m.EndUser, Params: m.Params,
	})
}

// remote passes a signed message on whole. What is parsed here is for the
// answer's sake alone: the monitor derives what is asked for itself.
func (s *Server) remote(who *asker.Session, message []byte, near bool) answer {
	m, err := keyvalue.Parse(message)
	if err != nil {
		return refused(deputy.Refuse(deputy.BadRequest, "%v", err))
	}
	r := wall.Request{Kind: wall.Signed, Transport: wall.Line}
	r.Authorization, r.Body = keyvalue.Authorization(message)
	switch {
	case r.Authorization != "":
	case m.Signature != "" && near:
		r.Transport = wall.Legacy
	case m.Signature != "":
		return refused(deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: the original's signatures are taken on loopback addresses alone, since whoever sees one can use it again; sign with Deputy1"))
	default:
		return refused(deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: the message has no signature; its first line must be Authorization: Deputy1 id=…,ts=…,nonce=…,sig=…"))
	}
	return s.ask(who, m, r)
}

// ask asks the monitor, and answers once the request is durable.
func (s *Server) ask(who *asker.Session, m *keyvalue.Message, r wall.Request) answer {
	if m.Action == "" {
		return refused(errNoAction)
	}
	// What the wall cannot carry would have the monitor take us for hostile.
	if r.Check() != nil {
		return refused(malformed("a name or a number is longer than %d bytes", wall.MaxName))
	}
	a := who.Begin()
	defer a.End()
	a.EndUser = r.EndUser
	if r.Kind == wall.Signed {
		a.Sign(r)
	}
	outcome, err := a.Ask(context.Background(), r)
	if err != nil {
		return refused(refusalOf(err))
	}
	return answer{action: m.Action, tasks: outcome.Tasks}
}

// refusalOf tells err to the sender.
func refusalOf(err error) *deputy.Error {
	var refusal *deputy.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	return deputy.Refuse(deputy.OutcomeUnknown, "cannot answer: deputy-server has failed; look at the tasks before you ask again")
}

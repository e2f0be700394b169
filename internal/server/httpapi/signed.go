package httpapi

import (
	"net/http"

	"deputy"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// proof is what a request over TCP shows of its caller.
type proof struct {
	authorization string
	key           string // Idempotency-Key, which the signature covers whatever the request
}

// readAuthorization refuses what cannot be authentic, before more of the
// request is read.
func (x *exchange) readAuthorization() error {
	values := x.r.Header["Authorization"]
	switch {
	case len(values) == 0:
		return deputy.Refuse(deputy.NotAuthenticated, "cannot tell who asks: over TCP each request must be signed; add Authorization: Deputy1 id=…,ts=…,nonce=…,sig=…")
	case len(values) > 1:
		return badRequest("cannot tell who asks: Authorization stands twice; send it once")
	}
	a, err := signature.Parse(values[0])
	if err != nil {
		return deputy.Refuse(deputy.NotAuthenticated, "%v", err)
	}
	key, err := idempotencyKey(x.r.Header["Idempotency-Key"])
	if err != nil {
		return err
	}
	x.proof = proof{authorization: values[0], key: key}
	return x.asker.Claim(deputy.Caller("key:" + a.ID))
}

// identify has the monitor verify a request that the server itself answers.
func (x *exchange) identify() error {
	err := x.asker.Identify(x.r.Context())
	x.freeBody()
	return err
}

// sign hands the request over as it came. It is complete, and is being answered.
func (x *exchange) sign() {
	x.peer.remote.busy()
	x.asker.Sign(wall.Request{
		Kind: wall.Signed, Transport: wall.HTTP, Authorization: x.proof.authorization, Method: x.r.Method,
		Target: x.r.RequestURI, Key: x.proof.key, EndUser: x.asker.EndUser, Body: x.body,
	})
}

// beforeBody checks what can be known of a request over TCP before its body is
// read.
func (x *exchange) beforeBody() error {
	if x.r.Method == http.MethodPost {
		if err := x.checkContentType(); err != nil {
			return err
		}
	}
	return x.readAuthorization()
}

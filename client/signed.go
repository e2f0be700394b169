package client

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"deputy/internal/signature"
)

// Signed gives a client of the daemon at a URL, like "https://gate1:7668", that
// signs each request: id is the key's name, secret its text (what follows the
// first line is left out, so that it may be a whole key file), audience the
// server's name. Plain "http://" is for loopback. Nothing is connected yet.
func Signed(url, id string, secret []byte, audience string) *Client {
	secret, _, _ = bytes.Cut(secret, []byte{'\n'})
	c := &Client{
		Patience: 30 * time.Second,
		base:     strings.TrimRight(url, "/"),
		signer:   &signer{id: id, secret: bytes.TrimRight(secret, "\r"), audience: audience},
	}
	c.http = over(&http.Transport{
		DialContext: c.dialTCP,
		// A kept connection that breaks makes net/http send a request again by
		// itself; a signature is good once.
		DisableKeepAlives: true,
	})
	return c
}

// dialTCP connects to a host and port.
func (c *Client) dialTCP(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, &UnreachableError{[]Place{{address, reason(err)}}}
	}
	c.met.Store(true)
	return conn, nil
}

// signer signs as one key for one server.
type signer struct {
	id       string
	secret   []byte
	audience string
}

// sign gives the Authorization of a request that is about to be sent.
func (s *signer) sign(r *http.Request, body []byte) string {
	return signature.Sign(s.id, s.secret, time.Now().Unix(), signature.Request{
		Method: r.Method, Audience: s.audience, Target: r.URL.RequestURI(),
		IdempotencyKey: r.Header.Get("Idempotency-Key"), EndUser: r.Header.Get("Deputy-End-User"), Body: body,
	}).String()
}

//go:build linux

package test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/internal/signature"
	"deputy/test/rig"
)

// signer asks over TCP as a key.
type signer struct {
	t           testing.TB
	url         string
	key, secret string
	client      *http.Client
}

func as(t testing.TB, a addresses, key string) *signer {
	return asSecret(t, a, key, secrets[key])
}

func asSecret(t testing.TB, a addresses, key, secret string) *signer {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &signer{t, "http://" + a.http, key, secret, &http.Client{Transport: transport, Timeout: time.Minute}}
}

// request makes a signed request; header is name, value, …
func (s *signer) request(method, target, body string, header ...string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.Header.Set("Authorization", signature.Sign(s.key, []byte(s.secret), time.Now().Unix(), signature.Request{
		Method: method, Audience: "gate1", Target: target, Body: []byte(body),
		IdempotencyKey: r.Header.Get("Idempotency-Key"), EndUser: r.Header.Get("Deputy-End-User"),
	}).String())
	return r
}

func (s *signer) do(method, target, body string, header ...string) rig.Answer {
	s.t.Helper()
	return s.send(s.request(method, target, body, header...))
}

func (s *signer) send(r *http.Request) rig.Answer {
	s.t.Helper()
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return rig.Answer{Status: resp.StatusCode, Header: resp.Header, Body: text}
}

func (s *signer) started(action, params string, header ...string) deputy.Task {
	s.t.Helper()
	tasks := s.do("POST", "/v1/actions/"+action, params, header...).Tasks(s.t)
	if len(tasks) != 1 {
		s.t.Fatalf("%s gave %d tasks", action, len(tasks))
	}
	return tasks[0]
}

// line signs a 'Key: Value' message; body ends with its empty line.
func line(key, secret, body string) string {
	a := signature.Sign(key, []byte(secret), time.Now().Unix(), signature.Request{Method: "TCP", Audience: "gate1", Target: "/", Body: []byte(body)})
	return "Authorization: " + a.String() + "\n" + body
}

// exchange sends bytes and reads the answer up to its end.
func exchange(t testing.TB, address, message string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		_, _ = io.WriteString(conn, message)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	text, _ := io.ReadAll(conn) // a reset behind the answer takes nothing from it here
	return string(text)
}

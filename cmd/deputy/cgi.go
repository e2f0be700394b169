package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
	"deputy/internal/request"
)

func newCGI(a *app) *cobra.Command {
	var anonymous bool
	cmd := &cobra.Command{
		Use:   "cgi",
		Short: "Pass a browser's request on, as a CGI program of a web server",
		Long: `Pass a browser's request on, as a CGI program of a web server.

What follows the program in the URL, /v1/…, goes to deputy's Unix socket, and the
answer goes back as it comes. Whom the web server has authenticated (REMOTE_USER)
is the end user of the request, whatever its headers say; the caller is the user
that the web server runs this as, and needs a rule, and in deputy.toml

  [user.www-data]
  names_end_user = true

Without REMOTE_USER nothing is passed on. Nor is a request that changes something
and comes from another site's page (Sec-Fetch-Site, Origin).

Never link deputy itself into a CGI folder, where a URL could give it arguments: the
program that the web server runs is a file of two lines,

  #!/bin/sh
  exec /usr/bin/deputy cgi`,
		Example: `  nginx, with fcgiwrap:
    location /deputy/ {
        auth_basic           deputy;
        auth_basic_user_file /etc/nginx/deputy.htpasswd;
        include              fastcgi_params;
        fastcgi_param REMOTE_USER     $remote_user;
        fastcgi_split_path_info ^(/deputy)(/.*)$;
        fastcgi_param SCRIPT_NAME     $fastcgi_script_name;
        fastcgi_param PATH_INFO       $fastcgi_path_info;
        fastcgi_param SCRIPT_FILENAME /usr/lib/cgi-bin/deputy;
        fastcgi_param NO_BUFFERING    1;
        fastcgi_pass  unix:/run/fcgiwrap.socket;
    }
  lighttpd, with mod_alias, mod_auth, mod_authn_file and mod_cgi:
    alias.url += ( "/deputy" => "/usr/lib/cgi-bin/deputy" )
    auth.backend = "htpasswd"
    auth.backend.htpasswd.userfile = "/etc/lighttpd/deputy.htpasswd"
    $HTTP["url"] =~ "^/deputy(/|$)" {
        auth.require = ( "" => ( "method" => "basic", "realm" => "deputy",
                                 "require" => "valid-user" ) )
        cgi.assign = ( "" => "" )
        server.stream-response-body = 2
    }
  busybox httpd (keeps Range to itself), with /srv/www/cgi-bin/deputy, and in httpd.conf
  /cgi-bin:alice:… with the hash of her password:
    busybox httpd -f -h /srv/www -c /etc/httpd.conf`,
		Annotations: map[string]string{exitStatus: `0    answered, be it with a refusal
1    the answer broke off; stderr says why
2    the command line is wrong, or no web server has started it`},
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cgiVerb(cmd.Context(), a, anonymous) },
	}
	cmd.Flags().BoolVar(&anonymous, "anonymous", false, "also pass on what has no REMOTE_USER, with no end user")
	return cmd
}

// cgiBody is the longest body that is passed on, in bytes: the largest max_body
// that an action can have.
const cgiBody = 16 << 20

// cgiHeaders are the request's headers that deputy reads. No other is passed on:
// what names a proxy, an origin or an end user would be taken for our word.
var cgiHeaders = [...]string{"Accept", "Content-Encoding", "Idempotency-Key", "If-Range", "Last-Event-ID", "Prefer", "Range"}

// cgiVerb answers one request (RFC 3875).
func cgiVerb(ctx context.Context, a *app, anonymous bool) error {
	if a.getenv("GATEWAY_INTERFACE") == "" || a.getenv("REQUEST_METHOD") == "" {
		return usage("deputy cgi is for a web server to start; see: deputy cgi --help")
	}
	req, err := a.cgiRequest(ctx, anonymous)
	if err != nil {
		return a.cgiRefuse(err)
	}
	conn, err := a.dial(ctx)
	if err != nil {
		return a.cgiUnanswered(err, http.StatusServiceUnavailable, deputy.NotDurable,
			"cannot reach deputy: nothing was asked; try again later, the web server's log says more")
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go func() { _ = req.Write(conn) }() // an answer may come, and be all, before the body is read
	answer, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return a.cgiUnanswered(err, http.StatusBadGateway, deputy.OutcomeUnknown,
			"cannot say what became of this request: deputy went away before it answered; ask again with the same Idempotency-Key, or look at the tasks")
	}
	defer answer.Body.Close()
	return a.cgiAnswer(answer)
}

// dial connects to the daemon, wherever the other verbs would find it.
func (a *app) dial(ctx context.Context) (net.Conn, error) {
	var failed []error
	for _, socket := range a.places() {
		conn, err := client.Dial(ctx, socket)
		if err == nil {
			if err = a.trusts(socket, conn); err == nil {
				return conn, nil
			}
			conn.Close()
			err = fmt.Errorf("%s: %w", socket, err)
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

// cgiRequest is the request to be passed on; an error is a *cgiRefusal.
func (a *app) cgiRequest(ctx context.Context, anonymous bool) (*http.Request, error) {
	path, query, method := a.getenv("PATH_INFO"), a.getenv("QUERY_STRING"), a.getenv("REQUEST_METHOD")
	switch {
	case !strings.HasPrefix(path, "/v1/"):
		return nil, cgiProblem(http.StatusNotFound, deputy.BadRequest, "cannot find %.100q: the paths behind this program begin with /v1/", path)
	case query != "" && !strings.Contains(query, "="):
		// A web server may give such a query's words to the program as its
		// arguments (RFC 3875, section 4.4): it could be an option of ours.
		return nil, cgiProblem(http.StatusBadRequest, deputy.BadRequest, "cannot use the query %.100q: write name=value", query)
	case strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, cgiProblem(http.StatusBadRequest, deputy.BadRequest, "cannot read the query: it has bytes that must be percent-encoded")
	}
	if err := a.cgiSameOrigin(method); err != nil {
		return nil, err
	}
	user := a.getenv("REMOTE_USER")
	if user == "" && !anonymous {
		return nil, cgiProblem(http.StatusUnauthorized, deputy.NotAuthenticated,
			"cannot tell for whom this is: the web server has set no REMOTE_USER; have it authenticate its users, or start deputy cgi with --anonymous")
	}
	if user != "" && !request.IsEndUser(user) {
		return nil, cgiProblem(http.StatusBadRequest, deputy.BadRequest,
			"cannot ask for this end user: REMOTE_USER must be 1 to %d bytes of UTF-8 on one line, without a blank at its beginning or its end", request.MaxName)
	}
	body, err := a.cgiReadBody()
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "http", Host: "deputy", Path: path, RawQuery: query}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, cgiProblem(http.StatusBadRequest, deputy.BadRequest, "cannot pass this request on: %v", err)
	}
	for _, name := range cgiHeaders {
		value := a.cgiHeader(name)
		if strings.TrimSpace(value) != value || strings.ContainsFunc(value, unicode.IsControl) {
			return nil, cgiProblem(http.StatusBadRequest, deputy.BadRequest, "cannot pass %s on: it has a blank at its beginning or its end, or a control character", name)
		}
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if value := a.getenv("CONTENT_TYPE"); value != "" {
		req.Header.Set("Content-Type", value)
	}
	if user != "" {
		req.Header.Set("Deputy-End-User", user)
	}
	req.Close = true
	return req, nil
}

// cgiHeader is a header of the request (RFC 3875, section 4.1.18).
func (a *app) cgiHeader(name string) string {
	return a.getenv("HTTP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
}

// cgiSameOrigin refuses what another site's page has its visitor's browser send.
// The daemon cannot: it sees this program, which may name end users.
func (a *app) cgiSameOrigin(method string) error {
	browser := http.Request{Method: method, Host: a.cgiHeader("Host"), Header: http.Header{}}
	for _, name := range []string{"Origin", "Sec-Fetch-Site"} {
		if value := a.cgiHeader(name); value != "" {
			browser.Header.Set(name, value)
		}
	}
	protection := http.NewCrossOriginProtection()
	err := protection.Check(&browser)
	if _, _, noPort := net.SplitHostPort(browser.Host); err != nil && noPort != nil {
		browser.Host += ":" + a.getenv("SERVER_PORT") // some web servers take the port from Host
		err = protection.Check(&browser)
	}
	if err != nil {
		return cgiProblem(http.StatusForbidden, deputy.NotAllowed,
			"cannot take a request that another site's page has sent (Origin %.100q, Sec-Fetch-Site %.20q); ask from a page of this site", browser.Header.Get("Origin"), browser.Header.Get("Sec-Fetch-Site"))
	}
	return nil
}

// cgiReadBody reads exactly CONTENT_LENGTH bytes: a web server may leave stdin
// open behind them. The whole body is there before anything is passed on, so
// that a part of one never is.
func (a *app) cgiReadBody() (io.Reader, error) {
	text := a.getenv("CONTENT_LENGTH")
	if text == "" {
		if a.cgiHeader("Transfer-Encoding") != "" {
			return nil, cgiProblem(http.StatusLengthRequired, deputy.BadRequest, "cannot read a body of unknown length; send Content-Length")
		}
		return http.NoBody, nil
	}
	length, err := strconv.ParseUint(text, 10, 63)
	switch {
	case err != nil:
		return nil, cgiProblem(http.StatusBadRequest, deputy.BadRequest, "cannot read the body: its length is %.30q, which is no number", text)
	case length > cgiBody:
		return nil, cgiProblem(http.StatusRequestEntityTooLarge, deputy.TooLarge, "cannot take this body: it is longer than %d bytes; send less", cgiBody)
	}
	body, err := io.ReadAll(io.LimitReader(a.in, int64(length)))
	if err != nil || uint64(len(body)) < length {
		return nil, cgiProblem(http.StatusBadRequest, deputy.BadRequest, "cannot read the body: it broke off after %d of %d bytes", len(body), length)
	}
	return bytes.NewReader(body), nil
}

// cgiAnswer gives the daemon's answer to the web server, as it comes.
func (a *app) cgiAnswer(answer *http.Response) error {
	h := answer.Header
	// What is about the connection between us and the daemon ends here (RFC 9110,
	// section 7.6.1).
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		h.Del(name)
	}
	if location := h.Get("Location"); strings.HasPrefix(location, "/") {
		// Without the program's own path it would lead elsewhere on this site, and
		// some web servers would follow it themselves (RFC 3875, section 6.2.2).
		program := url.URL{Path: a.getenv("SCRIPT_NAME")}
		h.Set("Location", program.EscapedPath()+location)
	}
	h.Set("X-Accel-Buffering", "no") // nginx: what comes now is not kept back
	if strings.HasPrefix(a.getenv("SERVER_SOFTWARE"), "busybox") {
		h.Set("Connection", "close") // it closes the connection and does not say so
	}
	if err := a.cgiHead(answer.StatusCode, h); err != nil {
		return err
	}
	if _, err := io.Copy(a.out, answer.Body); err != nil {
		return fmt.Errorf("cannot pass the answer on: %w", err)
	}
	return nil
}

// cgiHead writes the status, which comes first (busybox takes it only there),
// and the headers.
func (a *app) cgiHead(status int, h http.Header) error {
	_, err := fmt.Fprintf(a.out, "Status: %d %s\r\n", status, http.StatusText(status))
	if err == nil {
		err = h.Write(a.out)
	}
	if err == nil {
		_, err = io.WriteString(a.out, "\r\n")
	}
	return err
}

// cgiRefusal is a refusal that arises before deputy is asked.
type cgiRefusal struct {
	status int
	reason *deputy.Error
}

func (r *cgiRefusal) Error() string { return r.reason.Detail }

func cgiProblem(status int, code deputy.Code, format string, args ...any) error {
	return &cgiRefusal{status, deputy.Refuse(code, format, args...)}
}

// cgiUnanswered refuses what deputy did not answer. Why stands in the web
// server's log; it is not the browser's to know.
func (a *app) cgiUnanswered(why error, status int, code deputy.Code, detail string) error {
	fmt.Fprintln(a.err, "deputy: cannot pass the request on:", why)
	return a.cgiRefuse(cgiProblem(status, code, "%s", detail))
}

// cgiRefuse answers with a problem (RFC 9457).
func (a *app) cgiRefuse(err error) error {
	refusal := (*cgiRefusal)(nil)
	if !errors.As(err, &refusal) {
		return err
	}
	text, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		*deputy.Error
	}{"about:blank", http.StatusText(refusal.status), refusal.status, refusal.reason})
	if err != nil {
		return err
	}
	h := http.Header{"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}}
	switch refusal.status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Remote-User realm="deputy"`) // RFC 9110 wants one; it is the web server that asks
	}
	if err := a.cgiHead(refusal.status, h); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", text)
	return err
}

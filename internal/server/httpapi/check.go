package httpapi

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"deputy"
)

// checkConnection refuses what must not reach the rest at all; its
// connection is closed.
func (x *exchange) checkConnection() error {
	if x.peer.remote != nil {
		return x.checkRemote()
	}
	var err error
	switch {
	case x.peer.Over:
		err = &deputy.Error{Code: deputy.RateLimited, RetryAfter: 1,
			Detail: "cannot take this connection: " + string(x.peer.caller) + " has too many open; close some, or the administrator raises per_caller.connections"}
	case x.peer.Full:
		err = &deputy.Error{Code: deputy.NotDurable, RetryAfter: 1,
			Detail: "cannot take this connection: deputy has as many as the limit of open files allows it; nothing was started, ask again in a moment, or the administrator raises the limit (LimitNOFILE, ulimit -n)"}
	case len(x.r.TransferEncoding) > 0 && x.peer.conn.framing.length.Load():
		err = badRequest("cannot read this request: it has both Content-Length and Transfer-Encoding; send one of them")
	case len(x.r.TransferEncoding) > 0:
		// Nothing that follows such a body is ever taken for a request.
		x.w.Header().Set("Connection", "close")
	}
	if err != nil {
		x.w.Header().Set("Connection", "close")
	}
	return err
}

// checkSender refuses a request whose sender is not clear: one that came
// through a browser or a proxy, and one with two end users.
func (x *exchange) checkSender() error {
	h := x.r.Header
	users := h["Deputy-End-User"]
	if len(users) > 1 {
		return badRequest("cannot tell for whom this is: Deputy-End-User stands twice; send it once")
	}
	if len(users) == 1 {
		x.endUser = users[0]
		if !isEndUser(x.endUser) {
			return badRequest("cannot ask for this end user: Deputy-End-User must be 1 to %d bytes of UTF-8 on one line; leave it out if there is none", maxName)
		}
	}
	if name := forwarded(h); name != "" && x.peer.remote == nil {
		return x.checkForwarded(name)
	}
	return nil
}

// checkAuthorization refuses a signature on the Unix socket: who signs means to
// be the key's caller, not the user who connects.
func (x *exchange) checkAuthorization() error {
	if x.peer.remote == nil && len(x.r.Header["Authorization"]) > 0 {
		return deputy.Refuse(deputy.NotAuthenticated,
			"cannot read Authorization: on this socket the caller is the user who connects; leave it out")
	}
	return nil
}

// forwarded gives a header that only a browser or a proxy sends; empty: none.
func forwarded(h http.Header) string {
	for name := range h {
		switch name {
		case "Origin", "Sec-Fetch-Site", "Via", "Forwarded":
			return name
		}
		if strings.HasPrefix(name, "X-Forwarded-") {
			return name
		}
	}
	return ""
}

// checkForwarded lets a request of a browser or proxy pass only where its
// caller is trusted to say for whom it asks: otherwise every visitor of a web
// server would act as the web server. It catches a mistake; it is no boundary.
func (x *exchange) checkForwarded(header string) error {
	named := x.endUser
	x.endUser = "" // whether the caller may name one is what is asked here
	rights, err := x.rights()
	x.endUser = named
	if err != nil {
		return err
	}
	if rights.NamesEndUser {
		return nil
	}
	who := string(x.peer.caller)
	if rights.Name != "" {
		who += " (" + rights.Name + ")"
	}
	return badRequest("cannot take a request that came through a browser or proxy (%s): it would be done as %s, whoever sent it; ask from your own program, or the administrator lets this caller name the end user with names_end_user = true", header, who)
}

func isEndUser(s string) bool {
	return s != "" && plausible(s) && strings.IndexFunc(s, unicode.IsControl) < 0 && !strings.ContainsRune(s, utf8.RuneError)
}

package httpapi

import (
	"net/http"
	"strings"

	"deputy"
	"deputy/internal/request"
)

// checkConnection refuses what must not reach the rest at all; its
// connection is closed.
func (x *exchange) checkConnection() error {
	err := x.checkHead()
	if err == nil {
		if x.peer.remote != nil {
			err = x.checkRemote()
		} else {
			err = x.peer.session.Refused()
		}
	}
	// Nothing that follows a body in chunks is ever taken for a request.
	if err != nil || len(x.r.TransferEncoding) > 0 {
		x.w.Header().Set("Connection", "close")
	}
	if err == nil && x.peer.remote == nil { // otherwise it was read before Host was
		err = x.readTarget()
	}
	return err
}

func (x *exchange) readTarget() (err error) {
	if x.at, err = request.ParseTarget(x.r.RequestURI); err != nil {
		return badRequest("%v", err)
	}
	return nil
}

// checkHead refuses a head that two readers could take for two things.
func (x *exchange) checkHead() error {
	switch wrong := x.peer.spoken.heads.next(); {
	case wrong.framing != "":
		return badRequest("cannot read this request: %s; send each head as RFC 9112 has it", wrong.framing)
	case wrong.value == endUserHeader:
		return badRequest("cannot ask for this end user: Deputy-End-User has a blank at its beginning or its end; HTTP drops it, and another would be named; send the name alone")
	case wrong.value != "":
		return badRequest("cannot use Idempotency-Key: it has a blank at its beginning or its end; HTTP drops it, and another would be meant; a UUID serves well")
	}
	return nil
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
		x.asker.EndUser = users[0]
		if !request.IsEndUser(x.asker.EndUser) {
			return badRequest("cannot ask for this end user: Deputy-End-User must be 1 to %d bytes of UTF-8 on one line, without a blank at its beginning or its end; leave it out if there is none", request.MaxName)
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
	rights, err := x.asker.CallerRights(x.r.Context())
	if err != nil {
		return err
	}
	if rights.NamesEndUser {
		return nil
	}
	who := string(x.asker.Caller())
	if rights.Name != "" {
		who += " (" + rights.Name + ")"
	}
	return badRequest("cannot take a request that came through a browser or proxy (%s): it would be done as %s, whoever sent it; ask from your own program, or the administrator lets this caller name the end user with names_end_user = true", header, who)
}

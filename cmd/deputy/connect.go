package main

import (
	"cmp"
	"fmt"
	"strings"

	"deputy/client"
)

// sockets lists where the daemon is looked for; the first that answers is it.
func (a *app) sockets() []string {
	if a.socket != "" {
		return []string{a.socket}
	}
	if s := a.getenv("DEPUTY_SOCKET"); s != "" {
		return []string{s}
	}
	return []string{a.ownSocket(), systemSocket}
}

// connect gives a client of the daemon. A socket of "deputy up" counts only if
// it is mine: the environment may have come along from somebody else, and what I
// send is not for them.
func (a *app) connect() *client.Client {
	list := a.sockets()
	if len(list) > 1 && !a.mine(list[0]) {
		list = list[1:]
	}
	return client.New(list...)
}

// unreachable names every place where the daemon was looked for, in order.
func (a *app) unreachable(e *client.UnreachableError) string {
	why := map[string]string{}
	for _, p := range e.Tried {
		why[p.Socket] = p.Reason
	}
	var b strings.Builder
	b.WriteString("cannot reach deputy; looked for its socket at")
	for _, s := range a.sockets() {
		fmt.Fprintf(&b, "\n  %s: %s", s, cmp.Or(why[s], "belongs to another user"))
	}
	b.WriteString("\nstart one with: deputy up; or name its socket with --socket PATH or DEPUTY_SOCKET")
	return b.String()
}

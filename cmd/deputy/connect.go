package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

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
func (a *app) connect() *client.Client { return a.clientOf(a.places()...) }

// clientOf gives a client of the daemon at one of these sockets.
func (a *app) clientOf(sockets ...string) *client.Client {
	c := client.New(sockets...)
	c.Check, c.Stalled = a.trusts, a.stalled
	return c
}

// stalled says whether the daemon of the system does not come up, where systemd holds
// its socket: whoever waited for an answer would wait in vain.
func (a *app) stalled(socket string) error {
	if socket != systemSocket || a.service == nil {
		return nil
	}
	state, result := a.service()
	if result == "exit-code" && (state == "auto-restart" || state == "failed" || state == "dead") {
		return errors.New("deputy does not come up: its service ended with an error; see: systemctl status deputy")
	}
	return nil
}

// systemdService asks systemd how the service is: its state in detail, and how it
// ended last.
func systemdService() (state, result string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	text, err := exec.CommandContext(ctx, "/usr/bin/systemctl", "show", "deputy.service", "--property=SubState,Result").Output()
	if err != nil {
		return "", "" // there is no systemd, or it does not tell
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "SubState":
			state = value
		case "Result":
			result = value
		}
	}
	return state, result
}

// places lists the sockets that are worth a try.
func (a *app) places() []string {
	list := a.sockets()
	if len(list) > 1 && !a.mine(list[0]) {
		return list[1:]
	}
	return list
}

// trusts says why the daemon at the other end of a connection is not asked: what
// it answers root may do, and a socket of "deputy up" is mine or not asked at all.
// Who listens the kernel says, whatever the path has become meanwhile.
func (a *app) trusts(socket string, conn net.Conn) error {
	uid, known, err := listener(conn)
	switch named := a.socket != "" || a.getenv("DEPUTY_SOCKET") != ""; {
	case err != nil:
		return fmt.Errorf("cannot tell who listens there: %w", err)
	case !known:
		return nil
	case a.uid == 0 && uid != 0:
		return fmt.Errorf("it is uid %d's, and root asks only a daemon that root runs; ask as that user", uid)
	case !named && socket == a.ownSocket() && uid != a.uid:
		return errors.New("belongs to another user")
	}
	return nil
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

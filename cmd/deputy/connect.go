package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	var list []string
	if dir := a.getenv("XDG_RUNTIME_DIR"); dir != "" {
		list = append(list, filepath.Join(dir, "deputy", "deputy.sock"))
	}
	return append(list, "/run/deputy/deputy.sock")
}

// connect gives a client of the daemon. A socket under XDG_RUNTIME_DIR counts
// only if it is mine: the variable may have come along from somebody else, and
// what I send is not for them.
func (a *app) connect() *client.Client {
	list := a.sockets()
	if len(list) > 1 && !a.mine(list[0]) {
		list = list[1:]
	}
	return client.New(list...)
}

// mine says whether path belongs to who asks, or is not there at all.
func (a *app) mine(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return owner(info) == a.uid
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

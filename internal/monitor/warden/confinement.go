package warden

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"deputy/internal/monitor/confine"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/site"
	"deputy/internal/wall"
)

// What a server may is decided before it starts and from the configuration alone: it can
// open what it serves, and nothing else of the machine. What could not be taken from it
// is said as a weakness.

// plan says what a server with this greeting may; nil: it is not confined.
func (w *Warden) plan(set *manifest.Policy, g *wall.Greeting) *confine.Plan {
	if !set.Config.Server.Confine || !confine.Possible() || len(w.o.Confiner) == 0 {
		return nil
	}
	p := &confine.Plan{Program: w.o.Paths.ServerProg, UID: -1, GID: -1, Write: g.HistoryDir, Read: []string{g.TasksDir}}
	if site.Root() && w.user.UID != 0 {
		p.UID, p.GID = w.user.UID, w.user.GID
	}
	if len(g.HTTPS) > 0 {
		p.Read = append(p.Read, homes(g.Certificate, g.TLSKey, g.ClientCA)...)
	}
	for _, address := range slices.Concat(g.HTTP, g.HTTPS, g.Line) {
		if a, err := netip.ParseAddrPort(address); err == nil {
			p.Ports = append(p.Ports, int(a.Port()))
		}
	}
	slices.Sort(p.Ports)
	p.Ports = slices.Compact(p.Ports)
	return p
}

// homes are the folders of files, and those that links lead to: a file that is
// replaced there is another, and is read again.
func homes(files ...string) []string {
	var folders []string
	for _, file := range files {
		if file == "" {
			continue
		}
		folders = append(folders, filepath.Dir(file))
		if real, err := filepath.EvalSymlinks(file); err == nil {
			folders = append(folders, filepath.Dir(real))
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

// Weakness says which promises are weaker here, and the remedy; "" if none is.
func Weakness(set *manifest.Policy, h Host) string {
	var weak []string
	if w := h.Weakness(); w != "" {
		weak = append(weak, w)
	}
	missing := confine.Missing()
	switch {
	case !confine.Possible():
		weak = append(weak, "the server is not confined: only Linux can")
	case !set.Config.Server.Confine:
		weak = append(weak, "the server is not confined: [server] confine = false in deputy.toml; taken over, it can do all that its user can")
	case missing != "":
		weak = append(weak, "the server is confined without "+missing+", which this kernel lacks")
	}
	return strings.Join(weak, "; ")
}

// deathOf says how a server ended.
func deathOf(state *os.ProcessState) error {
	if !confine.KilledByFilter(state) {
		return errors.New(state.String())
	}
	return fmt.Errorf("killed by its system call filter (SIGSYS), as one that was taken over would be; which call it was the kernel's log may say: "+
		"dmesg | grep 'pid=%d .*syscall='; without a filter it is started by [server] confine = false", state.Pid())
}

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/manifest"
)

// keyFiles looks at who could read or replace a secret.
func keyFiles(m *Machine, _ context.Context) []Finding {
	entries, err := os.ReadDir(m.keys())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ok("there are no keys: nobody can ask over a network")
	case err != nil:
		return unseen(fmt.Sprintf("the keys cannot be looked at: %v", err), asRoot)
	}
	var list []Finding
	for _, entry := range entries {
		path := filepath.Join(m.keys(), entry.Name())
		list = append(list, private(path, m.Owner, 0o600, "whoever can read the key "+entry.Name()+" can ask in its name; deputy does not use it")...)
	}
	if list == nil {
		list = ok(fmt.Sprintf("%d keys, which their owner alone can read", len(entries)))
	}
	return list
}

// private wants a file that its owner alone can read, and that is the daemon's;
// nil if it is so.
func private(path string, owner int, mode os.FileMode, follows string) []Finding {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return unseen(fmt.Sprintf("cannot look at %s: %v", path, err), asRoot)
	}
	var list []Finding
	if st.Uid != 0 && int(st.Uid) != owner {
		list = append(list, Finding{Level: Wrong, What: fmt.Sprintf("%s belongs to uid %d", path, st.Uid), Follows: follows, Remedy: fmt.Sprintf("chown %d %s", owner, path)})
	}
	if more := os.FileMode(st.Mode&0o777) &^ mode; more != 0 {
		list = append(list, Finding{Level: Wrong, What: fmt.Sprintf("%s has mode %04o, more than %04o", path, st.Mode&0o777, mode), Follows: follows,
			Remedy: fmt.Sprintf("chmod %04o %s", mode, path)})
	}
	return list
}

// programs looks at who could replace the daemon itself.
func programs(m *Machine, _ context.Context) []Finding {
	var list []Finding
	for _, name := range []string{"deputyd", "deputy-server"} {
		path := filepath.Join(m.Programs, name)
		if _, err := os.Stat(path); err != nil {
			list = append(list, Finding{Level: Wrong, What: fmt.Sprintf("cannot find %s: %v", name, err), Follows: serving, Remedy: "install all of deputy's programs together"})
			continue
		}
		if err := manifest.Trusted(path, uint32(m.Owner)); err != nil {
			what, remedy, _ := strings.Cut(err.Error(), "; remedy: ")
			list = append(list, Finding{Level: Wrong, What: what, Follows: "whoever can replace it becomes the user it runs as", Remedy: remedy})
		}
	}
	if list == nil {
		list = ok("nobody else can replace the programs in " + m.Programs)
	}
	return list
}

// stateFiles looks at who could read or change what deputy keeps, and at the
// socket.
func stateFiles(m *Machine, _ context.Context) []Finding {
	switch _, err := os.Stat(m.State); {
	case errors.Is(err, fs.ErrNotExist):
		return ok("nothing is kept in " + m.State + " yet")
	case err != nil:
		return unseen(fmt.Sprintf("cannot look at what deputy keeps: %v", err), asRoot)
	}
	var list []Finding
	for _, f := range []struct {
		path    string
		mode    os.FileMode
		follows string
	}{
		{m.State, 0o755, recorded},
		{m.journal(), 0o700, "what is asked for, with its values, can be read by others: " + proven},
		{m.tasks(), 0o750, "what tasks write can be read by others"},
		{filepath.Join(m.State, "installation.key"), 0o600, "sensitive values can be guessed from the journal"},
	} {
		if _, err := os.Lstat(f.path); errors.Is(err, fs.ErrNotExist) {
			continue // made at the first start
		}
		list = append(list, private(f.path, m.Owner, f.mode, f.follows)...)
	}
	list = append(list, m.socket()...)
	if list == nil {
		list = ok("what deputy keeps in " + m.State + " is its own")
	}
	return list
}

// socket holds the socket that is there against the one that is declared.
func (m *Machine) socket() []Finding {
	path, mode := m.Socket, os.FileMode(0o666)
	if m.policy != nil {
		path, mode = m.policy.Config.Listen.Unix.Path, os.FileMode(m.policy.Config.Listen.Unix.Mode)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil && m.health == nil:
		return nil // that nothing answers was said
	case err != nil:
		return []Finding{{Level: Weaker, What: fmt.Sprintf("the socket of [listen] unix is not there: %v", err), Follows: serving, Remedy: "restart the daemon: its tasks go on"}}
	case info.Mode()&os.ModeSocket == 0:
		return []Finding{{Level: Wrong, What: path + " is not a socket", Follows: serving, Remedy: "remove it, then: " + m.start()}}
	case info.Mode().Perm() != mode:
		return []Finding{{Level: Weaker, What: fmt.Sprintf("the socket %s has mode %04o, and [listen] unix says %04o", path, info.Mode().Perm(), mode),
			Follows: "others may connect than was declared; what they may ask for, the rules decide", Remedy: fmt.Sprintf("chmod %04o %s", mode, path)}}
	}
	return nil
}

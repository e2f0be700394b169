package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// Paths is where everything of one installation lies.
type Paths struct {
	Config     string   // directory of deputy.toml, allow.d and keys
	Modules    []string // modules.d, the vendor's first
	State      string   // journal, tasks
	History    string   // the server's own directory
	Socket     string   // default of [listen] unix
	Notify     string   // where tasks tell their progress
	ServerProg string   // deputy-server
	Syslog     string   // the system's log, a datagram socket; empty: none is told of
}

// PathsUnder is the same tree under two directories.
func PathsUnder(config, state string) Paths {
	return Paths{
		Config:  config,
		Modules: []string{filepath.Join(config, "modules.d")},
		State:   state,
		History: filepath.Join(state, "server"),
		Socket:  socketUnder(state),
		Notify:  filepath.Join(state, "notify"),
	}
}

func (p Paths) journal() string         { return filepath.Join(p.State, "journal") }
func (p Paths) place() string           { return filepath.Join(p.State, "journal", "place") }
func (p Paths) tasks() string           { return filepath.Join(p.State, "tasks") }
func (p Paths) reapers() string         { return filepath.Join(p.State, "reapers") }
func (p Paths) task(id string) string   { return filepath.Join(p.State, "tasks", id) }
func (p Paths) installationKey() string { return filepath.Join(p.State, "installation.key") }

// instance is a stable, short name of this installation, for its cgroups.
func (p Paths) instance() string {
	sum := sha256.Sum256([]byte(p.State))
	return hex.EncodeToString(sum[:4])
}

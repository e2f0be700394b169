// Package site is where one installation lies: its paths, its directories, whether its
// journal is a restored copy, the key that seals what is not to be told, and whom
// deputyd itself runs as. It knows nothing of what is done there.
package site

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

// Under is the same tree under two directories.
func Under(config, state string) Paths {
	return Paths{
		Config:  config,
		Modules: []string{filepath.Join(config, "modules.d")},
		State:   state,
		History: filepath.Join(state, "server"),
		Socket:  socketUnder(state),
		Notify:  filepath.Join(state, "notify"),
	}
}

// ConfigFile is deputy.toml.
func (p Paths) ConfigFile() string { return filepath.Join(p.Config, "deputy.toml") }

// AllowDir holds the files that allow.
func (p Paths) AllowDir() string { return filepath.Join(p.Config, "allow.d") }

// Keys is the directory of the files of secrets, one for each key.
func (p Paths) Keys() string { return filepath.Join(p.Config, "keys") }

// Journal is the directory of the journal's segments.
func (p Paths) Journal() string { return filepath.Join(p.State, "journal") }

// Tasks is the directory of all tasks' directories.
func (p Paths) Tasks() string { return filepath.Join(p.State, "tasks") }

// Task is the directory of one task, which holds its output.
func (p Paths) Task(id string) string { return filepath.Join(p.State, "tasks", id) }

// Reapers is where the subreapers of tasks keep what they must not forget.
func (p Paths) Reapers() string { return filepath.Join(p.State, "reapers") }

// Instance is a stable, short name of this installation, for its cgroups.
func (p Paths) Instance() string {
	sum := sha256.Sum256([]byte(p.State))
	return hex.EncodeToString(sum[:4])
}

// Package sockets holds where callers ask and where tasks tell their progress: the
// Unix sockets of deputy.toml and the one for progress. They outlive a server, and a
// monitor, too: the keeper holds them from one to the next, and the backlog waits.
// One whose path somebody deletes is made again.
package sockets

import (
	"log"
	"os"
	"runtime"

	"deputy/internal/monitor/keeper"
)

// TakesProgress says whether the kernel tells which process sent a datagram: else a
// task has nobody to tell its progress to.
const TakesProgress = runtime.GOOS == "linux"

// Options are what the sockets need of others.
type Options struct {
	Listener Listener
	Progress string // the path of the socket where tasks tell their progress
	Renew    func() // the socket for progress is another from now on: a new server is to read it. It must not wait
	Log      *log.Logger
}

// Wanted is where callers are to ask, as the configuration says.
type Wanted struct {
	Path  string   // where HTTP is spoken: a Unix socket, or a named pipe on Windows
	Mode  uint32   // permission bits of all Unix sockets but the one for progress
	GID   int      // their group; -1: unchanged
	Lines []string // where 'Key: Value' is spoken: what is no path is the server's
}

// Keeper holds sockets from one monitor to the next, each under a name of one word.
type Keeper interface {
	Hold(name string, f *os.File) error
	Drop(name string) error
}

// Left is what there is of sockets when a monitor begins.
type Left struct {
	Held      map[string]*os.File // by the keeper, for the monitor before this one
	Inherited []keeper.Inherited  // from the service manager
}

// Package httpapi is the HTTP/JSON front door. Every request of a client is
// parsed here, without privilege; what may change anything is decided by the
// monitor, at the other end of the wall, and who sees what by package asker.
package httpapi

import (
	"log/slog"
	"net/http"
	"sync/atomic"

	"deputy/internal/output"
	"deputy/internal/request"
	"deputy/internal/server/asker"
	"deputy/internal/server/history"
	"deputy/internal/server/share"
	"deputy/internal/wall"
)

// Config is what the front door stands between.
type Config struct {
	Askers   *asker.Askers
	Monitor  Monitor       // asked for its pulse alone
	Asks     request.Table // what may be asked of the monitor
	History  *history.History
	Watcher  *output.Watcher
	Greeting *wall.Greeting
	Ready    <-chan struct{} // closed once the history has caught up; requests wait for it
	Log      *slog.Logger
	LogLost  func() uint64 // how many lines of the server's log were lost

	Local, Network *share.Bodies // what bodies may hold, of the Unix sockets and of TCP
}

// API answers HTTP requests. It is an http.Handler for the connections of a
// Listener.
type API struct {
	Config
	routes []route
	drains atomic.Bool // the monitor takes nothing new
	sizes  sizes
	pulse  pulse

	local, network *share.Bodies // of the Unix sockets, and of TCP, where nobody knows who sends
	work, long     *share.Desks  // places for work that takes a processor, and for long bodies
}

// New makes an API.
func New(c Config) *API {
	a := &API{Config: c, sizes: sizes{dir: c.Greeting.TasksDir, known: map[string]size{}},
		local: c.Local, network: c.Network, work: share.NewWork(share.Processors()), long: share.NewDesks(longAtOnce)}
	a.routes = table(c.Asks)
	a.Draining(c.Greeting.Draining)
	return a
}

// Draining lets /healthz say whether anything new is taken.
func (a *API) Draining(on bool) { a.drains.Store(on) }

// name is a {module} and an {action} of a path.
type name struct{ module, action string }

// ServeHTTP answers one request. The order of the checks is the order in which
// refusals go before one another.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	peer := peerOf(r)
	x := &exchange{w: w, r: r, api: a, peer: peer, asker: peer.session.Begin()}
	x.room = x.bodies().Hold(peer.session.Sender())
	x.peer.spoken.begin()
	defer x.done()
	if err := x.serve(); err != nil {
		x.refuse(err)
	}
}

func (x *exchange) serve() error {
	if err := x.checkConnection(); err != nil {
		return err
	}
	select {
	case <-x.api.Ready:
	case <-x.r.Context().Done():
		return x.r.Context().Err()
	}
	if err := x.checkSender(); err != nil {
		return err
	}
	route, err := x.route()
	if err != nil {
		return err
	}
	signed := x.peer.remote != nil
	if route.method == http.MethodPost || signed {
		if err := x.readBody(); err != nil {
			return err
		}
	}
	if err := x.checkAuthorization(); err != nil {
		return err
	}
	if err := request.CheckAction(x.target.module, x.target.action); err != nil { // before it reaches the wall
		return err
	}
	if signed {
		x.sign()
		if route.method == http.MethodPost {
			return route.handle(x) // the monitor verifies and decides at once; see asker.Ask
		}
		if err := x.identify(); err != nil {
			return err
		}
	}
	if route.access == visible {
		if err := x.findTask(); err != nil {
			return err
		}
	}
	return route.handle(x)
}

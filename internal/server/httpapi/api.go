// Package httpapi is the HTTP/JSON front door. Every request of a client is
// parsed here, without privilege; what may change anything is decided by the
// monitor, at the other end of the wall. What this package decides itself is
// who sees which task.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"deputy"
	"deputy/internal/output"
	"deputy/internal/server/history"
	"deputy/internal/server/share"
	"deputy/internal/wall"
)

// Monitor is asked over the wall. An error means that the wall ended: whether
// the request was accepted is not known.
type Monitor interface {
	Do(ctx context.Context, r wall.Request) (wall.Outcome, error)
}

// Config is what the front door stands between.
type Config struct {
	Monitor  Monitor
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
	policy atomic.Pointer[policy]
	drains atomic.Bool // nothing new is taken
	sizes  sizes
	pulse  pulse
	keys   callers // what signed requests are being answered

	local, network *share.Bodies // of the Unix sockets, and of TCP, where nobody knows who sends
	work, long     *share.Desks  // for what is dear, and for long bodies
}

// New makes an API that knows the policy of the monitor's greeting.
func New(c Config) *API {
	a := &API{Config: c, sizes: sizes{dir: c.Greeting.TasksDir, known: map[string]size{}},
		local: c.Local, network: c.Network, work: share.NewWork(share.Processors()), long: share.NewDesks(longAtOnce)}
	a.routes = a.table()
	a.PolicyChanged(c.Greeting.Policy)
	a.Draining(c.Greeting.Draining)
	return a
}

// Draining lets /healthz say whether anything new is taken.
func (a *API) Draining(on bool) { a.drains.Store(on) }

// PolicyChanged voids the rights and actions that were asked for before.
func (a *API) PolicyChanged(digest string) {
	a.policy.Store(&policy{digest: digest, maxBody: map[mayCall]int64{}})
}

// policy is what is known of the policy in force. Whatever was learned under
// another one is void: its holders compare the pointer.
type policy struct {
	digest string

	mu      sync.Mutex
	maxBody map[mayCall]int64 // of what callers were told that they may use, in bytes
}

type name struct{ module, action string }

// mayCall is an action of which a caller was told.
type mayCall struct {
	caller deputy.Caller
	name
}

// maxLearned is how many sizes are remembered.
const maxLearned = 10_000

func (p *policy) learn(caller deputy.Caller, actions []deputy.ActionInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.maxBody) > maxLearned {
		clear(p.maxBody)
	}
	for _, a := range actions {
		p.maxBody[mayCall{caller, name{a.Module, a.Action}}] = a.MaxBody
	}
}

// limit is the longest body that a caller may send for an action, if it was
// told that it may use it.
func (p *policy) limit(caller deputy.Caller, n name) (bytes int64, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes, known = p.maxBody[mayCall{caller, n}]
	return bytes, known
}

// ServeHTTP answers one request. The order of the checks is the order in which
// refusals go before one another.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, r: r, api: a, peer: peerOf(r)}
	x.who, x.room = x.sender()
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
	if err := x.checkTarget(); err != nil {
		return err
	}
	if signed && route.method == http.MethodPost {
		return route.handle(x) // the monitor verifies and decides at once; see ask
	}
	if signed {
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

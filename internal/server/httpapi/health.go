package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"

	"deputy"
	"deputy/internal/wall"
)

// pulseTime is how long the monitor's loop may take to say that it goes round.
const pulseTime = 2 * time.Second

// health says how deputy is: not that the server answers, which whoever asks sees,
// but that the loop does which admits, stops and ends tasks.
func (x *exchange) health() error {
	if _, err := x.at.Only(); err != nil {
		return err
	}
	beat, err := x.api.pulse.feel(x.r.Context(), x.api.Monitor)
	switch {
	case x.r.Context().Err() != nil: // the client has gone
		return x.r.Context().Err()
	case err != nil:
		return refuse(http.StatusServiceUnavailable, deputy.NotDurable,
			"deputy's monitor has not answered within %v: it hangs, or was restarted just now; nothing is started or stopped meanwhile, tasks go on; its log may say why", pulseTime)
	}
	g := x.api.Greeting
	status, draining := "ok", x.api.drains.Load()
	switch {
	case draining:
		status = "draining"
	case beat.Refusing != "":
		status = "refusing"
	}
	return x.answer(http.StatusOK, health{
		Status: status, Refusing: beat.Refusing, Version: deputy.Version, Proof: g.Proof, Weakness: g.Weakness,
		StateDir: g.StateDir, ConfigDir: g.ConfigDir, Policy: x.api.Askers.Policy(), Draining: draining,
		Started: g.Started, LogLost: beat.LogLost + x.api.LogLost(),
	})
}

type health struct {
	Status    string `json:"status"`             // "ok"; "draining" or "refusing": nothing new is accepted
	Refusing  string `json:"refusing,omitempty"` // why
	Version   string `json:"version"`
	Started   string `json:"started"`  // when the monitor began
	Proof     string `json:"proof"`    // what "nothing lives" rests on: "cgroup" or "subreaper"
	Weakness  string `json:"weakness"` // which promise is weaker here, and the remedy; empty: none
	StateDir  string `json:"state_dir"`
	ConfigDir string `json:"config_dir"`
	Policy    string `json:"policy"`      // digest of the one in force
	Draining  bool   `json:"draining"`    // nothing new is taken
	LogLost   uint64 `json:"log_dropped"` // lines that could not be written to the log of monitor and server
}

// Monitor is asked over the wall. An error means that the wall ended.
type Monitor interface {
	Do(ctx context.Context, r wall.Request) (wall.Outcome, error)
}

// pulse asks the monitor for all who want to know at the same time: nobody says
// who they are, so together they cost it one question at a time.
type pulse struct {
	mu    sync.Mutex
	under *feeling // the question that is under way; nil: none is
}

type feeling struct {
	done chan struct{} // closed when beat and err are there
	beat wall.Beat
	err  error
}

func (p *pulse) feel(ctx context.Context, m Monitor) (wall.Beat, error) {
	p.mu.Lock()
	f := p.under
	if f == nil {
		f = &feeling{done: make(chan struct{})}
		p.under = f
		go p.ask(f, m)
	}
	p.mu.Unlock()
	select {
	case <-f.done:
		return f.beat, f.err
	case <-ctx.Done():
		return wall.Beat{}, ctx.Err()
	}
}

func (p *pulse) ask(f *feeling, m Monitor) {
	ctx, cancel := context.WithTimeout(context.Background(), pulseTime)
	defer cancel()
	outcome, err := m.Do(ctx, wall.Request{Kind: wall.Ping})
	if f.err = err; outcome.Beat != nil {
		f.beat = *outcome.Beat
	}
	p.mu.Lock()
	p.under = nil
	p.mu.Unlock()
	close(f.done)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Found is the line of an open port.
type Found struct {
	Host      string     `json:"host"`    // as asked for
	Address   netip.Addr `json:"address"` // as connected to
	Port      uint16     `json:"port"`
	State     state      `json:"state"`
	Banner    string     `json:"banner"`     // the first line it sent, escaped; "" if it waits to be spoken to
	LatencyMS float64    `json:"latency_ms"` // until it was connected
}

// Summary is the last line.
type Summary struct {
	Addresses  int      `json:"addresses"`
	Ports      int      `json:"ports"`
	Probes     int      `json:"probes"` // made: addresses × ports unless it was stopped
	Open       int      `json:"open"`
	Closed     int      `json:"closed"`   // the host said so
	Filtered   int      `json:"filtered"` // nothing answered in time, or the way there is barred
	Errors     int      `json:"errors"`   // could not be tried from here
	Unresolved []string `json:"unresolved"`
	Complete   bool     `json:"complete"` // false: it was stopped
	TookMS     int64    `json:"took_ms"`
}

type state string

const (
	open     state = "open"
	closed   state = "closed"
	filtered state = "filtered"
	failed   state = "error"
	unmade   state = "" // stopped before it was known
)

// scan is one run over targets × ports.
type scan struct {
	options
	targets []target
	notify  *notifier
	encoder *json.Encoder
}

func newScan(o options, targets []target, notify *notifier, stdout io.Writer) *scan {
	encoder := json.NewEncoder(stdout)
	encoder.SetEscapeHTML(false)
	return &scan{options: o, targets: targets, notify: notify, encoder: encoder}
}

func (s *scan) write(line any) error { return s.encoder.Encode(line) }

// probe is one connection to make.
type probe struct {
	target
	port uint16
}

// run makes all probes, writes what is open, and counts the rest. It ends early
// when ctx does, or when nobody reads what it writes.
func (s *scan) run(ctx context.Context) Summary {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	probes, results := make(chan probe), make(chan Found)
	go s.generate(ctx, probes)
	var workers sync.WaitGroup
	total := len(s.targets) * len(s.ports)
	for range min(s.parallel, max(total, 1)) {
		workers.Go(func() {
			for p := range probes {
				results <- s.connect(ctx, p)
			}
		})
	}
	go func() { workers.Wait(); close(results) }()

	sum := Summary{Addresses: len(s.targets), Ports: len(s.ports), Unresolved: []string{}}
	s.notify.progress(sum, total)
	for found := range results {
		sum.count(found.State)
		if found.State == open && s.write(found) != nil {
			cancel()
		}
		s.notify.progress(sum, total)
	}
	sum.Complete = sum.Probes == total
	s.notify.flush(sum, total)
	return sum
}

// generate goes through all addresses for each port, so that no host gets all
// its connections at once.
func (s *scan) generate(ctx context.Context, probes chan<- probe) {
	defer close(probes)
	for _, port := range s.ports {
		for _, t := range s.targets {
			select {
			case probes <- probe{t, port}:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (s *Summary) count(st state) {
	switch st {
	case open:
		s.Open++
	case closed:
		s.Closed++
	case filtered:
		s.Filtered++
	case failed:
		s.Errors++
	case unmade:
		return
	}
	s.Probes++
}

// connect makes one probe.
func (s *scan) connect(ctx context.Context, p probe) Found {
	found := Found{Host: p.host, Address: p.address, Port: p.port}
	dialer := net.Dialer{Timeout: s.timeout, KeepAlive: -1}
	started := time.Now()
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(p.address, p.port).String())
	if err != nil {
		found.State = stateOf(ctx, err)
		return found
	}
	defer conn.Close()
	found.LatencyMS = float64(time.Since(started).Microseconds()) / 1000
	if conn.LocalAddr().String() == conn.RemoteAddr().String() {
		found.State = closed // TCP's simultaneous open: it met itself on a free port
		return found
	}
	found.State = open
	found.Banner = readBanner(ctx, conn, s.timeout)
	return found
}

// stateOf says what a connection that failed tells of the port.
func stateOf(ctx context.Context, err error) state {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return unmade
	case anyOf(err, refused):
		return closed
	case errors.As(err, &timeout) && timeout.Timeout(), anyOf(err, unreachable):
		return filtered
	}
	return failed
}

func anyOf(err error, numbers func() []syscall.Errno) bool {
	return slices.ContainsFunc(numbers(), func(n syscall.Errno) bool { return errors.Is(err, n) })
}

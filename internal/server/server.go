// Package server is the unprivileged side of deputy: it wires the front doors
// to the wall and to the history. It lives as long as the monitor at the other
// end of the wall does, and holds nothing that its successor could not read
// from the journal.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"deputy/internal/output"
	"deputy/internal/request"
	"deputy/internal/server/asker"
	"deputy/internal/server/history"
	"deputy/internal/server/httpapi"
	"deputy/internal/server/lineproto"
	"deputy/internal/server/share"
	"deputy/internal/wall"
)

// Sockets are what the monitor hands to the server it starts; pipes on Windows.
// Run closes them.
type Sockets struct {
	Stream *os.File // the wall: AF_UNIX, SOCK_STREAM
	Door   *os.File // connections come through it: AF_UNIX, SOCK_SEQPACKET
	Notify *os.File // tasks tell their progress here: AF_UNIX, SOCK_DGRAM, bound; nil where the kernel does not say which
}

// Log is where a server says what it has to. Nobody must be held up by it.
type Log struct {
	*slog.Logger
	Lost func() uint64 // how many lines of it were lost
}

// lastAnswers is how long requests may take to be answered once the end has
// come: those that the monitor has not answered are told so.
const lastAnswers = 250 * time.Millisecond

// lookForRoom is how often a full disk is looked at. Where the journal is on the
// same disk the monitor is faster, and loses no connection.
const lookForRoom = 10 * time.Second

// Run serves until ctx ends, which is no error, or until it cannot go on: the
// monitor is gone, for the most part.
func Run(ctx context.Context, s Sockets, log Log) error {
	stream, err := openStream(s.Stream)
	if err != nil {
		return fmt.Errorf("cannot use the wall: %w", err)
	}
	defer stream.Close()
	client, greeting, err := wall.Dial(stream)
	if err != nil {
		return err
	}
	h, err := history.Open(filepath.Join(greeting.HistoryDir, "history.db"))
	if err != nil {
		return err
	}
	defer h.Close()
	if h.Applied() > greeting.Last { // made from a journal that is no more
		if err := h.Reset(); err != nil {
			return err
		}
	}
	watcher, err := output.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot follow output: %w", err)
	}
	defer watcher.Close()
	return serve(ctx, s, &parts{client: client, stream: stream, greeting: greeting, history: h, watcher: watcher, log: log.Logger, lost: log.Lost})
}

type parts struct {
	client   *wall.Client
	stream   io.ReadWriteCloser
	greeting *wall.Greeting
	history  *history.History
	watcher  *output.Watcher
	log      *slog.Logger
	lost     func() uint64
}

func serve(ctx context.Context, s Sockets, p *parts) error {
	door, err := wall.NewDoor(s.Door)
	if err != nil {
		return err
	}
	defer door.Close()
	notify, err := listenProgress(s.Notify, p.greeting.CgroupTasks, p.history)
	if err != nil {
		return err
	}
	defer notify.close()
	ready := make(chan struct{})
	ours, others := share.NewBodies(), share.NewBodies()
	askers := asker.New(p.client, p.history, p.greeting)
	api := httpapi.New(httpapi.Config{
		Askers: askers, Local: ours, Network: others,
		Monitor: p.client, Asks: request.Routes(), History: p.history, Watcher: p.watcher,
		Greeting: p.greeting, Ready: ready, Log: p.log, LogLost: p.lost,
	})
	from := p.history.From()
	if p.history.Memory() {
		from = p.greeting.Recent
		p.log.Warn("the disk is full: the history is in memory, from record " + strconv.FormatUint(from, 10) + " on, until there is room")
	}
	feed := &feed{history: p.history, askers: askers, api: api, last: p.greeting.Last, ready: ready}
	feed.reached(0) // a journal without records has been reached; of any other a record comes, if only the last one again
	web, line := httpapi.NewServer(api), lineproto.New(askers, p.log, ours, others)
	network := &network{greeting: p.greeting, web: web, line: line, log: p.log}

	local := httpapi.NewListener(sorter{door, line}, p.log)
	ended := make(chan error, 4)
	go func() { ended <- p.client.Run(from, feed) }()
	go func() { ended <- unlessClosed(web.Serve(local)) }()
	go func() { ended <- notify.run() }()
	listening, unlisten := context.WithCancel(ctx)
	if p.history.Memory() {
		go func() { ended <- p.awaitRoom(listening) }()
	}
	network.listen(listening)
	select {
	case err = <-ended:
		if err != nil {
			err = fmt.Errorf("cannot go on: %w", err)
		}
	case <-ctx.Done():
	}
	unlisten()
	network.close()
	finish, cancel := context.WithTimeout(context.Background(), lastAnswers)
	defer cancel()
	if err == nil {
		local.Drain(finish, web)
	}
	if errors.Is(web.Shutdown(finish), context.DeadlineExceeded) {
		web.Close()
	}
	line.Wait(finish)
	p.stream.Close()
	return err
}

// awaitRoom ends the server when the history can be on the disk again: the
// monitor starts another.
func (p *parts) awaitRoom(ctx context.Context) error {
	tick := time.NewTicker(lookForRoom)
	defer tick.Stop()
	for !p.history.Room() {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	p.log.Info("there is room again for the history")
	return nil
}

// unlessClosed passes over the end of the door, by which the monitor says that
// another server is to follow.
func unlessClosed(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// feed gives the journal's records to the history.
type feed struct {
	history *history.History
	askers  *asker.Askers
	api     *httpapi.API
	last    uint64 // the journal's last record when the server started
	once    sync.Once
	ready   chan struct{} // closed once the history has that record
}

// Record applies one record; see wall.Records.
func (f *feed) Record(seq uint64, line []byte) error {
	if err := f.history.Apply(seq, line); err != nil {
		return err
	}
	f.reached(seq)
	return nil
}

// Policy voids what was known of the one before; see wall.Records.
func (f *feed) Policy(digest string) { f.askers.PolicyChanged(digest) }

// Draining passes on whether anything new is taken; see wall.Records.
func (f *feed) Draining(on bool) { f.api.Draining(on) }

func (f *feed) reached(seq uint64) {
	if seq >= f.last {
		f.once.Do(func() { close(f.ready) })
	}
}

package ledger

import (
	"io"
	"log"
	"net"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/state"
)

// Each head that reaches the system's log proves the journal up to it: at the
// start, at each new segment, and an hour after the last.
func TestHeadsInTheSystemLog(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var later time.Duration // than it is
	now := func() int64 { return clock.Now() + int64(later) }
	around := loop.New(clock.Clock{Now: now, Wall: time.Now})
	l := New(Options{Log: log.New(io.Discard, "", 0), Syslog: socket, State: state.New(), Loop: around})
	folder := filepath.Join(dir, "journal")
	j, _, err := journal.Open(folder, journal.Options{SegmentSize: 2000, Checkpoint: func() *deputy.Event { return new(deputy.Event) }})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	l.Use(j)
	form := regexp.MustCompile(`^<85>[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d deputyd\[\d+\]: (deputy-head 1 .*)$`)
	var heads []journal.Head
	receive := func() {
		t.Helper()
		buf := make([]byte, 2048)
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		parts := form.FindStringSubmatch(string(buf[:n]))
		if parts == nil {
			t.Fatalf("received %q", buf[:n])
		}
		head, err := journal.ParseHead(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, head)
	}
	segment := uint64(0)
	for len(heads) < 4 {
		j.Append(&deputy.Event{Type: deputy.MonitorStart})
		if err := j.Flush(); err != nil {
			t.Fatal(err)
		}
		l.sendNewHead()
		if now := j.Live(); now != segment {
			segment = now
			receive()
		}
	}
	hourly := l.heads.next
	if left := time.Duration(hourly.At() - now()); left > headEvery || left < headEvery-time.Minute {
		t.Errorf("the next head is due in %v", left)
	}
	j.Append(&deputy.Event{Type: deputy.MonitorStart})
	if err := j.Flush(); err != nil {
		t.Fatal(err)
	}
	later = headEvery
	around.Timers.Run()
	receive()
	if last := heads[len(heads)-1]; last.Seq != j.Durable() || l.heads.next == hourly {
		t.Errorf("an hour later head %v is told, and record %d is the last", last, j.Durable())
	}
	if r, err := journal.Verify(folder, heads, nil); err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
	conn.Close() // a log that is not there costs a line, and no more
	l.sendHead()
	if !l.heads.silent {
		t.Error("a log that is gone was not noticed")
	}
}

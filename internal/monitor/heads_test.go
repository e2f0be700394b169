package monitor

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
	"deputy/internal/monitor/site"
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
	m := New(Options{Log: log.New(io.Discard, "", 0), Paths: site.Paths{Syslog: socket}})
	var later time.Duration // than it is
	now := func() int64 { return clock.Now() + int64(later) }
	m.timers = clock.NewTimers(now)
	folder := filepath.Join(dir, "journal")
	m.journal, _, err = journal.Open(folder, journal.Options{SegmentSize: 2000, Checkpoint: func() *deputy.Event { return new(deputy.Event) }})
	if err != nil {
		t.Fatal(err)
	}
	defer m.journal.Close()
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
		m.journal.Append(&deputy.Event{Type: deputy.MonitorStart})
		if err := m.journal.Flush(); err != nil {
			t.Fatal(err)
		}
		m.sendNewHead()
		if now := m.journal.Live(); now != segment {
			segment = now
			receive()
		}
	}
	hourly := m.heads.next
	if left := time.Duration(hourly.At() - now()); left > headEvery || left < headEvery-time.Minute {
		t.Errorf("the next head is due in %v", left)
	}
	m.journal.Append(&deputy.Event{Type: deputy.MonitorStart})
	if err := m.journal.Flush(); err != nil {
		t.Fatal(err)
	}
	later = headEvery
	m.timers.Run()
	receive()
	if last := heads[len(heads)-1]; last.Seq != m.journal.Durable() || m.heads.next == hourly {
		t.Errorf("an hour later head %v is told, and record %d is the last", last, m.journal.Durable())
	}
	if r, err := journal.Verify(folder, heads, nil); err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
	conn.Close() // a log that is not there costs a line, and no more
	m.sendHead()
	if !m.heads.silent {
		t.Error("a log that is gone was not noticed")
	}
}

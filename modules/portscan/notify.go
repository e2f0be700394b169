package main

import (
	"fmt"
	"net"
	"time"
)

const notifyEvery = 200 * time.Millisecond

// notifier tells progress as sd_notify(3) does: datagrams to a Unix socket.
// Progress is a courtesy: no failure of it is one of the scan.
type notifier struct {
	conn net.Conn // nil: nobody wants to know
	told time.Time
}

// newNotifier takes $DEPUTY_NOTIFY_SOCKET: a path, or @NAME for an abstract socket.
func newNotifier(address string) *notifier {
	if address == "" {
		return &notifier{}
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return &notifier{}
	}
	return &notifier{conn: conn}
}

// progress tells how far the scan is, but not more often than is of use.
func (n *notifier) progress(s Summary, total int) {
	if n.conn != nil && time.Since(n.told) >= notifyEvery {
		n.flush(s, total)
	}
}

// flush tells how far the scan is.
func (n *notifier) flush(s Summary, total int) {
	if n.conn == nil {
		return
	}
	n.told = time.Now()
	percent := 100 * float64(s.Probes) / float64(max(total, 1))
	n.conn.SetWriteDeadline(n.told.Add(100 * time.Millisecond))
	fmt.Fprintf(n.conn, "STATUS=%d of %d probes, %d open\nX_PERCENT=%.1f", s.Probes, total, s.Open, percent)
}

func (n *notifier) close() {
	if n.conn != nil {
		n.conn.Close()
	}
}

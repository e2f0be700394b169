//go:build unix

package client

import (
	"context"
	"net"
)

// Dial connects to the socket of a daemon.
func Dial(ctx context.Context, socket string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", socket)
}

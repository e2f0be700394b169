package httpapi

import (
	"net"
	"net/http"

	"deputy/internal/server/asker"
)

// peer is who is at the other end of a connection.
type peer struct {
	session *asker.Session
	spoken  *spoken // what net/http says and hears
	remote  *remote // of TCP; nil: a Unix socket
}

type peerKey struct{}

func (a *API) newPeer(c net.Conn) *peer {
	if c, ok := c.(*remote); ok {
		return &peer{session: a.Askers.Network(c.RemoteAddr()), remote: c, spoken: &c.spoken}
	}
	local := c.(*conn)
	return &peer{session: a.Askers.Local(local.Connection), spoken: &local.spoken}
}

func peerOf(r *http.Request) *peer { return r.Context().Value(peerKey{}).(*peer) }

// done makes the peer ready for its next request.
func (p *peer) done() {
	p.spoken.end()
	if p.remote != nil {
		p.remote.idle()
	}
}

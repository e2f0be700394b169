package asker

import (
	"net"
	"testing"

	"deputy/internal/wall"
)

// Over a local connection it is that of whose number it is that sends; over a
// network it is the origin's.
func TestWhoseShareARequestTakes(t *testing.T) {
	askers := New(nil, nil, &wall.Greeting{})
	for want, c := range map[string]wall.Connection{"uid:5": {UID: 5}, "uid:7": {UID: 5, Lent: true, Owner: 7}, "uid:0": {UID: 5, Lent: true}} {
		if got := askers.Local(c).Sender(); got != want {
			t.Errorf("%+v takes the share of %s, want %s", c, got, want)
		}
	}
	if got := askers.Network(address(t, "[2001:db8:1:2::9]:7")).Sender(); got != "tcp:2001:db8:1:2::" {
		t.Errorf("over a network it takes the share of %s", got)
	}
}

func TestAPeerCountsUnderItsAddressOrItsNetworkOf64Bits(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:7": "2001:db8:1:2::", "[2001:db8:1:2::9]:7": "2001:db8:1:2::",
	} {
		if got := Origin(address(t, peer)).String(); got != want {
			t.Errorf("%s counts under %s, want %s", peer, got, want)
		}
	}
}

func address(t *testing.T, text string) net.Addr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

//go:build linux

package clients

import (
	"strings"
	"testing"
)

// TestTheSocketIsThatOfTheEnvironment: a client that is told no address asks at DEPUTY_SOCKET.
func TestTheSocketIsThatOfTheEnvironment(t *testing.T) {
	d := start(t)
	for _, driver := range drivers(t) {
		t.Run(driver.name, func(t *testing.T) {
			t.Parallel()
			p := &play{t: t, driver: driver}
			args := []string{"call", "m", "echo", `{"text":"x"}`}
			if driver.plain {
				args[3] = "text=x"
			}
			for socket, want := range map[string]string{d.Socket: "tasks ", "/nowhere.sock": "error unreachable 0 "} {
				if said := driver.begin(t, args, append(p.env(step{}), "DEPUTY_SOCKET="+socket)).end(); !strings.HasPrefix(said, want) {
					t.Errorf("with DEPUTY_SOCKET=%s it said %q, want %q", socket, said, want)
				}
			}
		})
	}
}

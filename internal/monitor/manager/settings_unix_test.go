//go:build unix

package manager

import (
	"testing"
	"time"
)

// What the keeper was started with says who listens, and for how long a silence
// is borne; what was meant for another process, or is no number, is not taken.
func TestFindReadsTheEnvironment(t *testing.T) {
	none := map[string]string{"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "", "WATCHDOG_PID": "", "FDSTORE": ""}
	for _, test := range []struct {
		name string
		env  map[string]string
		want Settings
	}{
		{"none", nil, Settings{Store: 512}},
		{"all", map[string]string{"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7", "FDSTORE": "100"},
			Settings{Listens: true, Watchdog: 30 * time.Second, Store: 100}},
		{"a store larger than is used", map[string]string{"NOTIFY_SOCKET": "/x", "FDSTORE": "4096"}, Settings{Listens: true, Store: 512}},
		{"no store", map[string]string{"NOTIFY_SOCKET": "/x", "FDSTORE": "0"}, Settings{Listens: true}},
		{"another's watchdog", map[string]string{"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, Settings{Store: 512}},
		{"no number", map[string]string{"WATCHDOG_USEC": "-1", "FDSTORE": "many"}, Settings{Store: 512}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range none {
				t.Setenv(name, value)
			}
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			if got := Find(7); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

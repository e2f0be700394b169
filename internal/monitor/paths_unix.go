//go:build unix

package monitor

import "path/filepath"

// InstalledPaths are those of a root install.
func InstalledPaths() Paths {
	return Paths{
		Config:  "/etc/deputy",
		Modules: []string{"/usr/lib/deputy/modules.d", "/etc/deputy/modules.d"},
		State:   "/var/lib/deputy",
		History: "/var/lib/deputy-server",
		Socket:  "/run/deputy/deputy.sock",
		Notify:  "/run/deputy/notify",
	}
}

func socketUnder(state string) string { return filepath.Join(state, "deputy.sock") }

//go:build unix

package site

import "path/filepath"

// Installed are those of a root install.
func Installed() Paths {
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

//go:build unix

package policy

import "deputy/internal/monitor/manifest"

// fixed is what every task's environment begins with.
func fixed(u *manifest.User) [][2]string {
	return [][2]string{
		{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"LANG", "C.UTF-8"},
		{"HOME", u.Home}, {"USER", u.Name}, {"LOGNAME", u.Name}, {"SHELL", u.Shell},
	}
}

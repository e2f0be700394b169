//go:build !linux

package userdb

// Through and Here ask nobody: here the system's own look-up at the load knows
// all names.
func Through([]string) Asker { return nil }
func Here() Asker            { return nil }

// Main is for systems where names are asked for apart.
func Main() int { return 2 }

//go:build !linux

package doctor

import "deputy/internal/monitor/userdb"

// readableBy finds nothing: here no thread can look as another user.
func readableBy(*userdb.User, string) error { return nil }

//go:build !linux

package ledger

import "errors"

// toSyslog reaches no log here: Paths.Syslog is empty.
func toSyslog(string, string) error { return errors.ErrUnsupported }

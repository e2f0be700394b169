//go:build !linux

package monitor

import "errors"

// toSyslog reaches no log here: Paths.Syslog is empty.
func toSyslog(string, string) error { return errors.ErrUnsupported }

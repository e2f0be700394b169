// Package packaging holds the files by which service managers know deputy. The
// programs in them are at their places in an installation below /usr.
package packaging

import "embed"

// Files are systemd/deputy.service and so on, as they stand in this folder.
//
//go:embed systemd openrc launchd
var Files embed.FS

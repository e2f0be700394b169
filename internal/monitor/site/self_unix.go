//go:build unix

package site

import "os"

// Root says whether deputyd may become any user.
func Root() bool { return os.Geteuid() == 0 }

// SelfSID is for Windows.
func SelfSID() string { return "" }

package process

import "golang.org/x/sys/windows"

// Credential is whom an attempt runs as.
type Credential struct{ Token windows.Token }

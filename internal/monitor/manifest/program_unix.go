//go:build unix

package manifest

import "io/fs"

const (
	defaultServerUser = "deputy" // whom the server runs as in a root install
	privilegedName    = "root"
	rootFolder        = "/"
)

// executable gives the remedy where a file cannot be executed, otherwise "".
func executable(path string, info fs.FileInfo) string {
	if info.Mode()&0o111 == 0 {
		return "chmod +x " + path + ", or name its interpreter before it"
	}
	return ""
}

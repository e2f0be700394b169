//go:build unix

package manifest

const (
	defaultServerUser = "deputy" // whom the server runs as in a root install
	privilegedName    = "root"
	rootFolder        = "/"
	exe               = "" // ends the name of a program's file
)

// executable gives the remedy where a file cannot be executed, otherwise "".
func executable(path string, mode uint32) string {
	if mode&0o111 == 0 {
		return "chmod +x " + path + ", or name its interpreter before it"
	}
	return ""
}

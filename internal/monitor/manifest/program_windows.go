package manifest

import (
	"io/fs"
	"path/filepath"
	"strings"
)

const (
	defaultServerUser = "" // the system's account for services without privileges
	privilegedName    = "SYSTEM"
	rootFolder        = `C:\`
)

// executable gives the remedy where a file cannot be executed, otherwise "". A
// batch file is none: Windows would have a shell read it and its arguments.
func executable(path string, _ fs.FileInfo) string {
	if extension := filepath.Ext(path); strings.EqualFold(extension, ".exe") || strings.EqualFold(extension, ".com") {
		return ""
	}
	return "name a program that ends in .exe; of a script, its interpreter before it"
}

package manifest

import (
	"path/filepath"
	"strings"
)

const (
	defaultServerUser = "" // the system's account for services without privileges
	privilegedName    = "SYSTEM"
	rootFolder        = `C:\`
	exe               = ".exe" // ends the name of a program's file
)

// executable gives the remedy where a file cannot be executed, otherwise "". A
// batch file is none: Windows would have a shell read it and its arguments.
func executable(path string, _ uint32) string {
	if extension := filepath.Ext(path); strings.EqualFold(extension, ".exe") || strings.EqualFold(extension, ".com") {
		return ""
	}
	return "name a program that ends in .exe; of a script, its interpreter before it"
}

package rootonly

import (
	"io/fs"
	"os"
)

// owner gives -1: a file belongs to no number here.
func owner(fs.FileInfo) int { return -1 }

// chmod does nothing: who may read a file is its folder's matter here.
func chmod(*os.File, fs.FileMode) error { return nil }

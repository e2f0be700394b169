package look

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Silent says that a path does not answer; nil: it does, whatever stands there, or
// nobody is there who could tell. Of a folder the kernel may know enough by itself:
// its file system is asked for a name in it, too, that nobody has asked for yet.
func (p *Pool) Silent(path string) error {
	eyes := p.Open(path)
	for _, at := range []string{path, filepath.Join(path, fmt.Sprintf(".deputy-%x", time.Now().UnixNano()))} {
		_, err := eyes.See(Want{Path: at})
		if silent, ok := errors.AsType[*SilentError](err); ok {
			return &SilentError{Path: path, At: silent.At}
		}
	}
	return nil
}

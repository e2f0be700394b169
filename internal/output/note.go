package output

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// note is what is told beside a file: its gap [from, to), empty when the two
// are equal, and whether the task rewrote the file.
type note struct {
	from, to  int64 // bytes
	rewritten bool
}

const (
	noteSuffix    = ".gap"
	rewrittenWord = "rewritten"
)

// readNote reads the note of the file at path; there is none at first.
func readNote(path string) (note, error) {
	text, err := readText(path)
	if errors.Is(err, fs.ErrNotExist) {
		return note{}, nil
	}
	if err != nil {
		return note{}, fmt.Errorf("cannot read an output's gap: %w", err)
	}
	return parseNote(text)
}

func parseNote(text string) (n note, err error) {
	fields := strings.Fields(text)
	if len(fields) == 3 && fields[2] == rewrittenWord {
		n.rewritten = true
		fields = fields[:2]
	}
	if len(fields) == 2 {
		from, errFrom := strconv.ParseInt(fields[0], 10, 64)
		to, errTo := strconv.ParseInt(fields[1], 10, 64)
		if errFrom == nil && errTo == nil && 0 <= from && from <= to {
			n.from, n.to = from, to
			return n, nil
		}
	}
	return note{}, fmt.Errorf("cannot read an output's gap: %q is not FROM TO", text)
}

func (n note) String() string {
	text := fmt.Sprintf("%d %d", n.from, n.to)
	if n.rewritten {
		text += " " + rewrittenWord
	}
	return text
}

// write tells n of the file at path. Only one process writes notes.
func (n note) write(path string) error {
	err := writeText(path, n.String())
	if err != nil {
		return fmt.Errorf("cannot tell an output's gap: %w", err)
	}
	return nil
}

// info joins n with a size that was read after it. A gap that reaches beyond
// the size was cut by the task.
func (n note) info(size int64) Info {
	info := Info{Size: size, Rewritten: n.rewritten || n.to > size}
	if to := min(n.to, size); n.from < to {
		info.Gap = &[2]int64{n.from, to}
	}
	return info
}

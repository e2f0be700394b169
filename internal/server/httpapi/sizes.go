package httpapi

import (
	"path/filepath"
	"sync"
	"time"

	"deputy"
	"deputy/internal/output"
)

// sizes knows how much live tasks have written, which only their files tell.
type sizes struct {
	dir string // holds a directory for each task

	mu    sync.Mutex
	known map[string]size // by task
}

type size struct {
	at             time.Time // when it was looked up
	stdout, stderr output.Info
}

// maxSizes is how many sizes are remembered.
const maxSizes = 1024

func (s *sizes) taskDir(id string) string { return filepath.Join(s.dir, id) }

// fill sets the sizes of a live task's outputs, as they were at most age ago.
func (s *sizes) fill(t *deputy.Task, age time.Duration) {
	if t.Ended != nil || t.Attempt == 0 { // the history knows, or there is nothing yet
		return
	}
	found, known := size{}, false
	if age > 0 {
		s.mu.Lock()
		found, known = s.known[t.ID]
		s.mu.Unlock()
	}
	if now := time.Now(); !known || now.Sub(found.at) > age {
		found = s.look(t.ID, now)
	}
	t.StdoutBytes, t.StdoutGap, t.StdoutRewritten = found.stdout.Size, found.stdout.Gap, found.stdout.Rewritten
	t.StderrBytes, t.StderrGap, t.StderrRewritten = found.stderr.Size, found.stderr.Gap, found.stderr.Rewritten
	if n := len(t.Attempts); n > 0 {
		t.Attempts[n-1].Stdout[1], t.Attempts[n-1].Stderr[1] = t.StdoutBytes, t.StderrBytes
	}
}

// look asks the files. What cannot be read counts as empty.
func (s *sizes) look(id string, now time.Time) size {
	dir := s.taskDir(id)
	found := size{at: now}
	if info, err := output.Stat(dir, output.Stdout); err == nil {
		found.stdout = info
	}
	if info, err := output.Stat(dir, output.Stderr); err == nil {
		found.stderr = info
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxSizes {
		clear(s.known)
	}
	s.known[id] = found
	return found
}

package look

// Eyes are those of one check: what its paths share is looked at once.
type Eyes struct {
	pool   *Pool
	who    string
	walker *walker
}

// Open makes eyes for one check. who names for whom it is: an action, which may
// have two lookers at the same time. Of a nil pool they see by themselves, and
// wait as long as it takes.
func (p *Pool) Open(who string) *Eyes {
	if p == nil {
		return &Eyes{walker: newWalker(plain)}
	}
	return &Eyes{p, who, newWalker(p.cached)}
}

// See says what stands at a path. The error is a *SilentError, or says why no
// looker can be had.
func (e *Eyes) See(want Want) (Sight, error) {
	if e.pool == nil {
		return e.walker.see(want)
	}
	s, err := e.walker.walk(want.Path)
	if err == nil && e.pool.complete(want, &s) {
		return s, nil
	}
	if s, err = e.pool.ask(e.who, want); err != nil {
		return s, err
	}
	for _, step := range s.Steps {
		if _, known := e.walker.folder(step.Path); step.Folder() && !known {
			e.walker.folders = append(e.walker.folders, step)
		}
	}
	return s, nil
}

// complete says whether all that was wanted is there, and adds what is known.
func (p *Pool) complete(want Want, s *Sight) bool {
	end := s.End()
	if end == nil || want.Whole && end.Folder() {
		return end == nil
	}
	if want.Head > 0 && end.Regular() {
		text, ok := p.known(end.ID)
		if !ok || want.Head != Script {
			return false
		}
		if text != "" {
			s.Head = []byte(text)
		}
	}
	return true
}

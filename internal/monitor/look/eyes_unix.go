//go:build unix && !linux

package look

// Pool is of lookers, which only Linux has: elsewhere there is none.
type Pool struct{}

// NewPool gives none.
func NewPool([]string) *Pool { return nil }

// Main is for systems that have lookers.
func Main() int { return 2 }

// Close has nothing to do.
func (p *Pool) Close() {}

// Eyes are those of one check: what its paths share is looked at once.
type Eyes struct{ walker *walker }

// Open makes eyes for one check, which wait as long as it takes.
func (p *Pool) Open(string) *Eyes { return &Eyes{newWalker(plain)} }

// See says what stands at a path.
func (e *Eyes) See(want Want) (Sight, error) { return e.walker.see(want) }

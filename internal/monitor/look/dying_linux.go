package look

import (
	"time"

	"golang.org/x/sys/unix"
)

// dying is a looker that was killed. What waits for a file system may die much
// later, or never.
type dying struct {
	pid, pidfd int
	lost       bool // it did not answer
}

const (
	reapFirst = 10 * time.Millisecond
	reapLast  = time.Second
	closeTime = time.Second // for those that can die to be gone
)

// discard kills a looker, and takes its end up whenever that comes.
func (p *Pool) discard(l *looker, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(l, lost)
}

func (p *Pool) end(l *looker, lost bool) {
	l.conn.Close()
	_ = unix.Kill(l.pid, unix.SIGKILL) // it is our child, and not reaped: the number is its own
	if p.dying = append(p.dying, dying{l.pid, l.pidfd, lost}); len(p.dying) == 1 {
		p.reapAfter(reapFirst)
	}
}

func (p *Pool) reapAfter(pause time.Duration) {
	time.AfterFunc(pause, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.reap(); len(p.dying) > 0 {
			p.reapAfter(min(2*pause, reapLast))
		}
	})
}

// reap takes up those that have ended, and waits for none.
func (p *Pool) reap() {
	kept := p.dying[:0]
	for _, d := range p.dying {
		if pid, err := unix.Wait4(d.pid, nil, unix.WNOHANG, nil); err == nil && pid == 0 {
			kept = append(kept, d)
			continue
		}
		if d.pidfd >= 0 {
			unix.Close(d.pidfd)
		}
	}
	p.dying = kept
}

// lost counts those that did not answer, and live on.
func (p *Pool) lost() (n int) {
	p.reap()
	for _, d := range p.dying {
		if d.lost {
			n++
		}
	}
	return n
}

// await gives those that can die a moment to do it.
func (p *Pool) await() {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := time.Now().Add(closeTime)
	for _, d := range p.dying {
		left := time.Until(until)
		if d.lost || d.pidfd < 0 || left <= 0 {
			continue
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(d.pidfd), Events: unix.POLLIN}}, int(left/time.Millisecond))
	}
	p.reap()
}

package look

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dying is a looker that was killed. What waits for a file system may die much
// later, or never.
type dying struct {
	pid, pidfd int
	lost       bool  // it did not answer
	at         place // where it is stuck
}

// place is where a looker got no answer.
type place struct {
	path string // "": nobody knows
	dev  uint64 // of the file system that was asked for it; 0: that is not known
}

// maxOnDevice is how many lookers may be stuck in one file system; then it is not
// asked for anything.
const maxOnDevice = 2

const (
	reapFirst = 10 * time.Millisecond
	reapLast  = time.Second
	closeTime = time.Second // for those that can die to be gone
)

// isMountPoint says whether something is mounted at a path, without asking it.
func isMountPoint(path string) bool {
	text, err := os.ReadFile("/proc/self/mountinfo") // proc_pid_mountinfo(5)
	path = strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(path)
	for line := range strings.Lines(string(text)) {
		if members := strings.Fields(line); len(members) > 4 && members[4] == path {
			return true
		}
	}
	return err != nil // then that is not known
}

// discard kills a looker, and takes its end up whenever that comes. at is where it
// did not answer.
func (p *Pool) discard(l *looker, lost bool, at place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if lost && isMountPoint(at.path) {
		at.dev = 0 // the folder above is of another file system, which may be well
	}
	p.end(l, lost, at)
}

func (p *Pool) end(l *looker, lost bool, at place) {
	l.conn.Close()
	_ = unix.Kill(l.pid, unix.SIGKILL) // it is our child, and not reaped: the number is its own
	if p.dying = append(p.dying, dying{l.pid, l.pidfd, lost, at}); len(p.dying) == 1 {
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
		if d.lost { // it was answered, or never will be
			delete(p.silent, d.at.path)
		}
	}
	p.dying = kept
}

// stuck is where lookers are that were killed and live on: it is not asked again,
// however long ago that was.
func (p *Pool) stuck() (paths []string, devices []uint64) {
	p.reap()
	many := map[uint64]int{}
	for _, d := range p.dying {
		if !d.lost || d.at.path == "" {
			continue
		}
		paths = append(paths, d.at.path)
		if many[d.at.dev]++; d.at.dev != 0 && many[d.at.dev] == maxOnDevice {
			devices = append(devices, d.at.dev)
		}
	}
	return paths, devices
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

package fakehost

import (
	"syscall"

	"deputy"
)

// signal sends a stop signal to all, and gives how many there were.
func (l *leaf) signal(sig syscall.Signal) (sent int) {
	obeyed := false
	for _, p := range l.processes {
		if p.state == "" {
			continue
		}
		sent++
		exit := deputy.Exit{Signal: signalName(sig)}
		switch {
		case p.dying || p.state == "D" || p.script.Deaf && !(p == l.first && l.newborn):
		case p == l.first && l.newborn:
			l.ending(p, exit)
			obeyed = true
		default:
			if p.script.Last != nil {
				exit = *p.script.Last
			}
			p.dying = true
			if p.script.Obeys > 0 {
				l.later(p, p.script.Obeys, exit)
			} else {
				l.ending(p, exit)
				obeyed = true
			}
		}
	}
	if obeyed {
		l.changed()
	}
	return sent
}

// kill kills all that has not been killed before, and counts it. The caller has changed
// called.
func (l *leaf) kill() (killed int) {
	l.killed = true
	exit := deputy.Exit{Signal: "SIGKILL"}
	for _, p := range l.processes {
		if p.state == "" || p.state == "D" {
			continue
		}
		killed++
		if p.script.Holds <= 0 {
			l.ending(p, exit)
			continue
		}
		for _, t := range p.timers {
			if t != nil {
				t.Stop()
			}
		}
		p.state = "D"
		l.later(p, p.script.Holds, exit)
	}
	return killed
}

func (l *leaf) living() (n int) {
	for _, p := range l.processes {
		if p.state != "" {
			n++
		}
	}
	return n
}

func (l *leaf) survivors() (list []deputy.Survivor) {
	if l == nil {
		return nil
	}
	for _, p := range l.processes {
		if p.state != "" {
			list = append(list, deputy.Survivor{PID: p.pid, Comm: p.script.comm(), State: p.state})
		}
	}
	return list
}

//go:build unix

package monitor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// missingEvery is the time between two looks at the paths of our sockets.
const missingEvery = time.Second

// deadLooks is how often isDead is asked after a start: later no other can have died there.
const deadLooks = 10

// watchSockets makes a socket anew whose path somebody has deleted: nobody could reach
// us any more, and we would not notice. The looks are not the loop's, for the file
// system may not answer.
func (m *Monitor) watchSockets(ctx context.Context) {
	tick := time.NewTicker(missingEvery)
	defer tick.Stop()
	for looks := 0; ; looks++ {
		var paths []string
		asked := make(chan struct{})
		m.post(func() {
			paths = append(paths, m.set.Config.Listen.Unix.Path)
			for path := range m.lines {
				paths = append(paths, path)
			}
			if takesProgress {
				paths = append(paths, m.o.Paths.Notify)
			}
			close(asked)
		})
		select {
		case <-asked:
		case <-ctx.Done():
			return
		}
		for _, path := range paths {
			if isMissing(path) || looks < deadLooks && path != m.o.Paths.Notify && isDead(path) {
				m.post(func() { m.listenAgain(path) })
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func isMissing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// notifyAgain makes the socket where tasks tell their progress, and has the next server
// read it. Who is telling something to the old one has nobody to hear it, as before.
func (m *Monitor) notifyAgain() error {
	f, err := bindUnix(m.o.Paths.Notify, unix.SOCK_DGRAM, 0o666, -1)
	if err == nil {
		err = m.link.Hold("notify", f)
	}
	if err == nil {
		m.notify.Store(f) // the old one is closed once nobody starts a server with it
		m.replaceServer()
	}
	return err
}

// listenAgain makes the socket of a path where there is none of ours.
func (m *Monitor) listenAgain(path string) {
	if m.leaving {
		return
	}
	var err error
	if path == m.o.Paths.Notify {
		err = m.notifyAgain()
	} else {
		err = m.callersAgain(path)
	}
	switch {
	case err == nil:
		m.missed[path] = false
		m.log.Printf("the socket %s was deleted, and is made again", path)
	case !m.missed[path]:
		m.missed[path] = true
		m.log.Printf("the socket %s was deleted, and cannot be made again: %v", path, err)
	}
}

// callersAgain makes a socket on which callers ask.
func (m *Monitor) callersAgain(path string) error {
	listen := m.set.Config.Listen.Unix
	old, name := m.lines[path], lineSocket+path
	line := old != nil
	if path == listen.Path && !line {
		old, name = m.listener, "unix:"+path
	}
	if old == nil {
		return nil // a reload has just closed it
	}
	f, err := bindUnix(path, unix.SOCK_STREAM, listen.Mode, listen.GID)
	if err == nil {
		err = m.link.Hold(name, f)
	}
	if err == nil {
		err = m.reception.listen(int(f.Fd()), line)
	}
	if err != nil {
		return err
	}
	m.reception.ignore(int(old.Fd()))
	old.Close()
	if line {
		m.lines[path] = f
	} else {
		m.listener = f
	}
	return nil
}

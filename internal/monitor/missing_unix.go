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

// watchSockets makes a socket anew whose path somebody has deleted: nobody could reach
// us any more, and we would not notice. The looks are not the loop's, for the file
// system may not answer.
func (m *Monitor) watchSockets(ctx context.Context) {
	tick := time.NewTicker(missingEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		var paths []string
		asked := make(chan struct{})
		m.post(func() {
			paths = append(paths, m.set.Config.Listen.Unix.Path)
			for path := range m.lines {
				paths = append(paths, path)
			}
			close(asked)
		})
		select {
		case <-asked:
		case <-ctx.Done():
			return
		}
		for _, path := range paths {
			if isMissing(path) || first && isDead(path) {
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

// isDead says whether nobody listens at a path: the service manager has passed on the
// socket that it made, and what stands there is the one that we made when that was deleted.
func isDead(path string) bool {
	fd, err := unixSocket(unix.SOCK_STREAM)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.SetNonblock(fd, true) == nil && errors.Is(unix.Connect(fd, &unix.SockaddrUnix{Name: path}), unix.ECONNREFUSED)
}

// listenAgain makes the socket of a path where there is none of ours.
func (m *Monitor) listenAgain(path string) {
	listen := m.set.Config.Listen.Unix
	old, name := m.lines[path], lineSocket+path
	line := old != nil
	if path == listen.Path && !line {
		old, name = m.listener, "unix:"+path
	}
	if old == nil || m.leaving {
		return
	}
	f, err := bindUnix(path, unix.SOCK_STREAM, listen.Mode, listen.GID)
	if err == nil {
		if err = m.link.Hold(name, f); err == nil {
			err = m.reception.listen(int(f.Fd()), line)
		}
	}
	if err != nil {
		if !m.missed[path] {
			m.missed[path] = true
			m.log.Printf("the socket %s was deleted, and cannot be made again: %v", path, err)
		}
		return
	}
	m.missed[path] = false
	m.reception.ignore(int(old.Fd()))
	old.Close()
	if line {
		m.lines[path] = f
	} else {
		m.listener = f
	}
	m.log.Printf("the socket %s was deleted, and is made again", path)
}

package monitor

// openSockets opens the pipe on which local callers ask. Its instances are the
// reception's; none outlives a monitor.
func (m *Monitor) openSockets() error {
	var err error
	if m.reception, err = newReception(m.share()); err != nil {
		return err
	}
	return m.reception.listen(m.set.Config.Listen.Unix.Path)
}

// listenLines has nothing to do: 'Key: Value' is spoken on TCP alone, and that
// is the server's.
func (m *Monitor) listenLines() {}

func (m *Monitor) removeSockets() {}

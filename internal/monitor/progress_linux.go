package monitor

// takesProgress says whether the kernel tells which process sent a datagram.
const takesProgress = true

func (m *Monitor) notifySocket() string { return m.o.Paths.Notify }

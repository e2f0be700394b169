package monitor

import "deputy/internal/monitor/process"

// held has the keeper hold what must outlive us of each task, and tells the host
// what it held for the monitor before us.
func (m *Monitor) held(o process.Options) process.Options {
	o.Holder, o.Held = m.link, m.link.Kept()
	return o
}

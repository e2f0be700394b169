//go:build unix

package monitor

import "deputy/internal/monitor/process"

// held is for Windows: here a task's tree is found again by the kernel.
func (m *Monitor) held(o process.Options) process.Options { return o }

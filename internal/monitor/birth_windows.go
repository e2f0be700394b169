package monitor

import "deputy/internal/monitor/process"

// uid is for systems where a file belongs to a number.
func (b *birth) uid() int { return -1 }

// credential is nobody else than deputyd itself: see manifest, which refuses
// every other user.
func (b *birth) credential() *process.Credential { return nil }

package state

// What the journal's reserve must hold of the state, in bytes: what a new segment
// begins with, and all that is still to be recorded of the tasks that live.
const (
	reserveTask  = 3 << 10 // a task's place in a checkpoint beside its values; its intent, birth, stop and end
	reserveKey   = 256     // an idempotency key beside its scope and its tasks' ids
	reserveNonce = 64
)

// Reserve is how many bytes of the journal's reserve the state needs.
func (s *State) Reserve() int64 {
	need := s.bytes
	for _, u := range s.Nonces {
		need += int64(len(u.Seen)) * reserveNonce
	}
	return need
}

package state

import (
	"encoding/json"

	"deputy"
)

// The memory that callers' values take is bounded, for each and in all, by a weight that
// is about what they take. Equal values have one text, in whatever order they came.

// What the values of live tasks may take of the memory, in bytes, about: of one
// caller, and of all. One task alone always has room.
const (
	valuesEach = 8 << 20
	valuesAll  = 32 << 20
)

// Weight is about how many bytes a value takes: a small one takes many times those of
// its text.
func Weight(v any) int {
	const each = 48 // an interface, what it points to, and what the allocator adds
	switch v := v.(type) {
	case string:
		return each + len(v)
	case deputy.Number:
		return each + len(v)
	case deputy.Text:
		return each + len(v)
	case []any:
		sum := each
		for _, item := range v {
			sum += Weight(item)
		}
		return sum
	case map[string]any:
		sum := each
		for name, item := range v {
			sum += each + len(name) + Weight(item)
		}
		return sum
	}
	return each
}

// RoomForValues refuses values that would take too much beside those of the tasks that
// live.
func (s *State) RoomForValues(who string, own, more int) *deputy.Error {
	var refusal *deputy.Error
	switch {
	case more == 0:
	case own > 0 && own+more > valuesEach:
		refusal = deputy.Refuse(deputy.RateLimited,
			"cannot accept: the values of the live tasks of %s would take %d MiB of memory, of at most %d; send less, or wait until some have ended", who, (own+more)>>20, valuesEach>>20)
	case s.values > 0 && s.values+more > valuesAll:
		refusal = deputy.Refuse(deputy.NotDurable,
			"cannot accept: the values of all live tasks would take %d MiB of memory, of at most %d; nothing was started, ask again when some have ended", (s.values+more)>>20, valuesAll>>20)
	}
	if refusal != nil {
		refusal.RetryAfter = 1
	}
	return refusal
}

// Canonical gives equal values one text: encoding/json sorts the names. A task
// without values has nil after a replay: its record left them out.
func Canonical(params map[string]any) string {
	if len(params) == 0 {
		return "{}"
	}
	text, _ := json.Marshal(params) // values are plain JSON
	return string(text)
}

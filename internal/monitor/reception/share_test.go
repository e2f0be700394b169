package reception

import (
	"testing"

	"deputy"
	"deputy/internal/monitor/policy"
)

func TestCapacity(t *testing.T) {
	for limit, want := range map[uint64]capacity{
		64: {16, 16}, 512: {320, 128}, 1024: {704, 256}, 524288: {393152, 131072}, 1 << 40: {12582848, 4194304},
	} {
		if got := capacityOf(limit); got != want {
			t.Errorf("%d descriptors: %+v, want %+v", limit, got, want)
		}
	}
}

func TestShare(t *testing.T) {
	s := &Share{Connections: 4, Operator: func(who deputy.Caller) bool { return who == "uid:0" }}
	for _, test := range []struct {
		uid                 uint32
		open, all           int
		over, full, refused bool
	}{
		{33, 0, 0, false, false, false},
		{33, 4, 4, true, false, false},
		{33, 8, 8, true, false, true},
		{33, 0, 48, false, true, false},
		{33, 0, 56, false, true, true},
		{0, 0, 56, false, false, false},
		{0, 4, 60, true, false, false},
		{0, 0, 64, false, false, true},
	} {
		if over, full, refused := s.of(capacity{connections: 64}, policy.Identity{Caller: deputy.UIDCaller(test.uid)}, test.open, test.all); over != test.over || full != test.full || refused != test.refused {
			t.Errorf("uid %d with %d of %d: over %v, full %v, refused %v", test.uid, test.open, test.all, over, full, refused)
		}
	}
}

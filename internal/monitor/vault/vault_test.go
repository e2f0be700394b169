package vault

import (
	"testing"

	"deputy"
	"deputy/internal/monitor/site"
	"deputy/internal/wall"
)

// Requests that wait for their secrets leave the wall room for others.
func TestSecretsUnderWayHaveTheirShare(t *testing.T) {
	const part = wall.MaxHeld / 8
	v := New(nil, site.Paths{}, 0)
	put := func(c deputy.Caller, bytes int64) *Deposit {
		d := &Deposit{Caller: c, Bytes: bytes}
		if v.room(d) != nil {
			return nil
		}
		v.charge(d, load{count: 1, bytes: bytes})
		return d
	}
	refused := func(what string, c deputy.Caller, bytes int64, code deputy.Code) {
		t.Helper()
		if refusal := v.room(&Deposit{Caller: c, Bytes: bytes}); refusal == nil || refusal.Code != code {
			t.Errorf("%s: %v, want %s", what, refusal, code)
		}
	}
	refused("one alone that is more than a quarter", "uid:1", 2*part+1, deputy.TooLarge)
	first := put("uid:1", part)
	if first == nil || put("uid:1", part) == nil {
		t.Fatal("a caller may not have a quarter")
	}
	refused("more than a quarter", "uid:1", 1, deputy.RateLimited)
	if put("uid:2", 2*part) == nil {
		t.Fatal("another may not have a quarter")
	}
	refused("more than a half of all", "uid:3", 1, deputy.RateLimited)
	v.charge(first, load{count: -1, bytes: -first.Bytes})
	if put("uid:3", part) == nil {
		t.Error("what was given back is not there")
	}
	v = New(nil, site.Paths{}, 0)
	for i := range uint32(wall.MaxPending / 2) {
		if put(deputy.UIDCaller(i/depositsWait), 1) == nil {
			t.Fatalf("the request %d is too many", i)
		}
	}
	refused("more than half of all requests", "uid:5000", 1, deputy.RateLimited)
}

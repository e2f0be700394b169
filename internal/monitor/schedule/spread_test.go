package schedule

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"
)

// seal is as that of an installation.
func seal(key string) func(string) string {
	return func(text string) string {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(text))
		return "hmac-sha256:" + hex.EncodeToString(mac.Sum(nil))
	}
}

// A restart, an update or another width of another schedule moves nothing: these
// numbers stand for ever.
func TestTheSpreadOfANameIsTheSameForEver(t *testing.T) {
	for name, want := range map[string]time.Duration{
		"backup/run/nightly": 8*time.Minute + 54*time.Second, "apt/upgrade/weekly": 18*time.Minute + 2*time.Second,
	} {
		if got := Spread(name, 30*time.Minute, seal("key")); got != want {
			t.Errorf("%s is spread by %v, want %v", name, got, want)
		}
	}
	if Spread("backup/run/nightly", 30*time.Minute, seal("key")) == Spread("backup/run/nightly", 30*time.Minute, seal("other")) {
		t.Error("two installations have the same spread")
	}
}

func TestSpreadsLieEvenlyWithinTheWidth(t *testing.T) {
	const names = 3000
	var tenths [10]int
	for i := range names {
		offset := Spread(fmt.Sprint("m/a/", i), 10*time.Minute, seal("key"))
		if offset < 0 || offset >= 10*time.Minute || offset%time.Second != 0 {
			t.Fatalf("%v is not within 10m", offset)
		}
		tenths[offset/time.Minute]++
	}
	for i, n := range tenths {
		if n < names/10*8/10 || n > names/10*12/10 {
			t.Errorf("minute %d has %d of %d", i, n, names)
		}
	}
	for _, width := range []time.Duration{-time.Hour, 0, 1, time.Second - 1, time.Second} {
		if offset := Spread("m/a/s", width, seal("key")); offset != 0 {
			t.Errorf("within %v it is %v", width, offset)
		}
	}
}

package uuid7

import (
	"testing"
	"time"
)

func TestAnIDTellsWhenItWasMade(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	id := New()
	made, ok := Time(id)
	if !ok || made.Before(before) || made.After(time.Now()) {
		t.Errorf("%s was made at %v, %v; it is %v", id, made, ok, before)
	}
	if again := New(); again == id || len(id) != 36 || id[14] != '7' {
		t.Errorf("%s and %s", id, again)
	}
}

func TestWhatIsNoIDTellsNoTime(t *testing.T) {
	for _, id := range []string{"", "lost+found", "0190c0de-aaaa-7bbb-8ccc-01234567", "0190c0de-aaaa-7bbb-8ccc-0123456789zz"} {
		if _, ok := Time(id); ok {
			t.Errorf("%q tells a time", id)
		}
	}
}

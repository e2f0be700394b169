//go:build unix

package schedule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheSystemsZoneIsReadAnewAndNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "localtime")
	now := instant(t, "2026-07-01T12:00:00Z")
	check := func(name, clock string) {
		t.Helper()
		zone, err := readZone(path)
		if err != nil || zone.String() != name || now.In(zone).Format("15:04") != clock {
			t.Errorf("the zone is %v, %v; want %s, where it is %s", zone, err, name, clock)
		}
	}
	check("UTC", "12:00")
	data := "/usr/share/zoneinfo"
	for name, clock := range map[string]string{"Europe/Berlin": "14:00", "Asia/Kolkata": "17:30"} {
		os.Remove(path)
		if err := os.Symlink(filepath.Join(data, name), path); err != nil {
			t.Fatal(err)
		}
		check(name, clock)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zone := now.In(must(readZone(path))).Format("15:04")
	os.Remove(path)
	for _, one := range []struct{ text, wrong string }{{string(file), ""}, {"no zone data", "cannot be read"}} {
		if err := os.WriteFile(path, []byte(one.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if one.wrong == "" {
			check("Local", zone)
		} else if _, err := readZone(path); err == nil || !strings.Contains(err.Error(), one.wrong) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q was read: %v", one.text, err)
		}
	}
}

func must(zone *time.Location, err error) *time.Location {
	if err != nil {
		panic(err)
	}
	return zone
}

func TestAZoneOfTheProcessIsKept(t *testing.T) {
	t.Setenv("TZ", "Asia/Tokyo")
	if zone, err := Zone(""); err != nil || zone != time.Local {
		t.Errorf("the zone is %v, %v", zone, err)
	}
}

package userdb

import (
	"slices"
	"strings"
	"testing"
)

// Whatever the name services say is held against what was asked.
func TestHostileAnswers(t *testing.T) {
	alice, byNumber, team := Question{passwd, "alice"}, Question{passwd, "5001"}, Question{group, "team"}
	for _, c := range []struct {
		q    Question
		said Said
		good bool
	}{
		{alice, Said{Entry: "alice:x:5001:5001::/home/alice:/bin/sh", Groups: "5001 5002"}, true},
		{byNumber, Said{Entry: "alice:x:5001:5001::/home/alice:/bin/sh", Groups: "5001"}, true},
		{team, Said{Entry: "team:*:5001:alice,bob"}, true},
		{alice, Said{Entry: "Alice:x:5001:5001::/home/alice:/bin/sh", Groups: "5001"}, false},
		{alice, Said{Entry: "bob:x:5001:5001::/home/alice:/bin/sh", Groups: "5001"}, false},
		{byNumber, Said{Entry: "alice:x:5002:5001::/home/alice:/bin/sh", Groups: "5001"}, false},
		{byNumber, Said{Entry: "5001:x:5002:5001::/home/alice:/bin/sh", Groups: "5001"}, false},
		{byNumber, Said{Entry: "a\x1b[2Jb:x:5001:5001::/home/alice:/bin/sh", Groups: "5001"}, false},
		{alice, Said{Entry: "alice:x:0:5001::/root:/bin/sh", Groups: "5001"}, false},
		{alice, Said{Entry: "alice:x:65534:5001::/root:/bin/sh", Groups: "5001"}, false},
		{alice, Said{Entry: "alice:x:4294967295:5001::/:/bin/sh", Groups: "5001"}, false},
		{alice, Said{Entry: "alice:x:4294967296:5001::/:/bin/sh", Groups: "5001"}, false},
		{alice, Said{Entry: "alice:x:-1:5001::/:/bin/sh", Groups: "5001"}, false},
		{alice, Said{Entry: "alice:x:05001:5001::/:/bin/sh", Groups: "5001"}, false},
		{alice, Said{Entry: "alice:x:+5001:5001::/:/bin/sh", Groups: "5001"}, false},
		{alice, Said{Entry: "alice:x:5001:0::/:/bin/sh", Groups: "0"}, false},
		{alice, Said{Entry: "alice:x:5001:5001::/:/bin/sh", Groups: ""}, false},
		{alice, Said{Entry: "alice:x:5001:5001::/:/bin/sh", Groups: "5001 wheel"}, false},
		{alice, Said{Entry: "alice:x:5001:5001::/:/bin/sh:x", Groups: "5001"}, false},
		{alice, Said{Entry: "alice:x:5001", Groups: "5001"}, false},
		{alice, Said{}, false},
		{team, Said{Entry: "team:*:0:alice"}, false},
		{team, Said{Entry: "teams:*:5001:alice"}, false},
		{team, Said{Entry: "team:*:5001"}, false},
	} {
		if _, err := c.q.read(c.said); (err == nil) != c.good {
			t.Errorf("%v of %+v: %v", c.q, c.said, err)
		}
	}
	if a, err := alice.read(Said{Entry: "alice:x:5001:5001::relative:\x1b[2J", Groups: "5001"}); err != nil || a.user.Home != "/" || a.user.Shell != "/bin/sh" {
		t.Errorf("%+v, %v", a.user, err)
	}
}

func TestAnswersOnTheWire(t *testing.T) {
	questions := []Question{{passwd, "a"}, {group, "b"}, {passwd, "c"}}
	for _, c := range []struct {
		text string
		said int
		err  string // part of it; "": none
	}{
		{"0\tfound\tx\ty\n1\tnone\n2\tfound\tx\ty\n", 3, ""},
		{"2\tnone\n0\tnone\n", 2, ""},
		{"0\tnone\n1\tfailed\tgetent took longer than 2s\n2\tnone\n", 3, ""},
		{"failed\tcannot become user 5\n", 0, "cannot become user 5"},
		{"0\tnone\n0\tfound\tx\ty\n", 1, "two things"},
		{"3\tnone\n", 0, "understood"},
		{"-1\tnone\n", 0, "understood"},
		{"0\tfound\tx\n", 0, "understood"},
		{"0\tfound\tx\ty\tz\n", 0, "understood"},
		{"0\n", 0, "understood"},
		{"\n", 0, "understood"},
		{"0\tfound\t" + strings.Repeat("x", maxLine) + "\ty\n", 0, "too long"},
		{strings.Repeat("junk", 1<<20), 0, "too long"},
	} {
		said, err := readSaid(strings.NewReader(c.text), questions)
		if len(said) != c.said || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%.60q: %d, %v", c.text, len(said), err)
		}
	}
}

func FuzzSaid(f *testing.F) {
	f.Add("0\tfound\talice:x:5001:5001::/home/alice:/bin/sh\t5001 5002\n1\tfound\tteam:*:5001:alice\t\n")
	f.Add("failed\tx\n")
	questions := []Question{{passwd, "alice"}, {group, "team"}, {passwd, "5001"}}
	f.Fuzz(func(t *testing.T, text string) {
		said, _ := readSaid(strings.NewReader(text), questions)
		for q, s := range said {
			if s.Failed != "" {
				continue
			}
			a, err := q.read(s)
			if err != nil || a.user == nil {
				continue
			}
			if u := a.user; u.UID == 0 || u.UID == Nobody || u.GID == 0 || q.Name != "5001" && u.Name != q.Name || !slices.Contains(u.Groups, u.GID) || !printable(u.Name+u.Home+u.Shell) {
				t.Errorf("%q gives %+v", text, u)
			}
		}
	})
}

func TestNamesThatCanBeAskedFor(t *testing.T) {
	for name, want := range map[string]bool{
		"alice": true, "DOMAIN\\alice": true, "alice@example.org": true, "machine$": true, "domain users": true, "ünal": true, "5001": true,
		"": false, "-s": false, "+nis": false, "#x": false, "a:b": false, "a/b": false, "a,b": false, "a\nb": false, " a": false, "a ": false,
		"\xff": false, strings.Repeat("a", 257): false,
	} {
		if got := (Question{passwd, name}).askable(); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	if (Question{group, "50"}).askable() {
		t.Error("a group's number is asked for")
	}
}

func TestShells(t *testing.T) {
	for text, want := range map[string]string{
		"": "/bin/sh", "/usr/sbin/nologin": "/bin/sh", "/sbin/nologin": "/bin/sh", "/bin/false": "/bin/sh", "/usr/bin/zsh": "/usr/bin/zsh", "bash": "/bin/sh",
		"/opt/nologin/sh": "/opt/nologin/sh",
	} {
		if got := shellOf(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/userdb"
)

// A certificate that root can read, and the server's user cannot, is found: for its own
// mode, for a folder above it, and by group alone it may be read.
func TestACertificateThatTheServerCannotRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir, err := os.MkdirTemp("", "deputy-d-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	key := filepath.Join(dir, "tls", "key.pem")
	if err := os.Mkdir(filepath.Dir(key), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, key, "key", 0o600)
	set := &manifest.Policy{Config: &manifest.Config{TLS: manifest.TLS{Key: key}}}
	set.Config.Listen.HTTPS = []string{"127.0.0.1:7668"}
	set.Config.Server.User = &userdb.User{Name: "server", UID: 54321, GID: 54321, Groups: []uint32{54322}}
	for _, c := range []struct {
		dir, file os.FileMode
		readable  bool
	}{{0o755, 0o600, false}, {0o755, 0o644, true}, {0o700, 0o644, false}, {0o750, 0o640, true}} {
		for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Dir(key): c.dir, key: c.file} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{filepath.Dir(key), key} {
			if err := os.Chown(path, 0, 54322); err != nil {
				t.Fatal(err)
			}
		}
		list := Unreadable(set)
		if (len(list) == 0) != c.readable {
			t.Errorf("%o, %o: %v", c.dir, c.file, list)
		}
		if len(list) > 0 && (list[0].Pos.File != key || !strings.Contains(list[0].Message, "the server, which runs as server, cannot read [tls] key: permission denied")) {
			t.Errorf("%v", list)
		}
		if found := certificates(&Machine{policy: set}, t.Context()); found[0].Level != map[bool]Level{true: OK, false: Wrong}[c.readable] {
			t.Errorf("%o, %o: %+v", c.dir, c.file, found)
		}
	}
	if _, err := os.ReadFile(key); err != nil {
		t.Errorf("we ourselves are still root: %v", err)
	}
}

//go:build linux

package test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy/test/rig"
)

// A server that does what its filter forbids dies of it, and is replaced; who
// reads the log learns what happened and where to look on.
func TestTheFilterKillsTheServer(t *testing.T) {
	d, _ := attackAs(t, "deputy-server", "", "")
	const death = "the server is gone (killed by its system call filter (SIGSYS)"
	knock(t, d)
	rig.Eventually(t, 60*time.Second, "two servers are killed", func() bool { return strings.Count(d.Log(), death) >= 2 })
	if log := d.Log(); !strings.Contains(log, "confine = false") || !strings.Contains(log, "dmesg | grep 'pid=") {
		t.Errorf("the log names no remedy:\n%s", log)
	}
}

// knock is a caller that is always there.
func knock(t *testing.T, d *rig.Deputy) {
	go func() {
		for t.Context().Err() == nil {
			_, _ = d.Client().Health(t.Context()) // no server lives long enough to answer
		}
	}()
}

// A server that is not what it should be is given no connection.
func TestAServerThatIsNotConfinedIsRefused(t *testing.T) {
	d, _ := attackAs(t, "unsealed", "", "")
	knock(t, d)
	rig.Eventually(t, 60*time.Second, "two servers are refused", func() bool {
		return strings.Count(d.Log(), "the server is not confined: its Seccomp_filters is") >= 2
	})
	if log := d.Log(); strings.Contains(log, "SIGSYS") {
		t.Errorf("a caller was let in:\n%s", log)
	}
}

// The administrator can do without, at once and back, and is told so.
func TestConfinementCanBeTurnedOff(t *testing.T) {
	off := wide + "[server]\nconfine = false\n"
	d := begin(t, signedModule, rig.Files{"deputy.toml": off})
	for _, state := range []struct{ config, seccomp, weakness string }{
		{off, "0", "the server is not confined"},
		{wide, "2", ""},
		{off, "0", "the server is not confined"},
	} {
		d.Write(rig.Files{"deputy.toml": state.config})
		if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, 30*time.Second, "a server of seccomp "+state.seccomp, func() bool {
			return rig.Status(d.Part("deputy-server"), "Seccomp") == state.seccomp
		})
		rig.Eventually(t, 30*time.Second, "it says "+state.weakness, func() bool {
			h, err := d.Client().Health(t.Context())
			return err == nil && (state.weakness == "" && !strings.Contains(h.Weakness, "confined") || state.weakness != "" && strings.Contains(h.Weakness, state.weakness))
		})
	}
}

// Certificates lie behind links, as certbot leaves them, and are renewed there.
func TestCertificatesBehindLinks(t *testing.T) {
	ca := newAuthority(t)
	d, secure, _ := beginTLS(t, ca, "")
	used := filepath.Join(d.Config, "tls")
	shows := func(serial string) func() bool {
		return func() bool {
			conn, err := tls.Dial("tcp", secure, &tls.Config{RootCAs: ca.pool})
			if err != nil {
				return false
			}
			defer conn.Close()
			return conn.ConnectionState().PeerCertificates[0].SerialNumber.String() == serial
		}
	}
	place := filepath.Join(d.Work, "archive")
	move := func() (serial string) {
		serial = ca.serve(d, "localhost")
		if err := os.MkdirAll(place, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"key.pem", "cert.pem"} {
			to := filepath.Join(place, name+serial)
			if err := os.Rename(filepath.Join(used, name), to); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(to, filepath.Join(used, name)); err != nil {
				t.Fatal(err)
			}
		}
		return serial
	}
	first := move()
	if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil { // the links lead to a folder of which the server does not know yet
		t.Fatal(err)
	}
	rig.Eventually(t, 30*time.Second, "a certificate behind a link is shown", shows(first))
	rig.Eventually(t, 30*time.Second, "its renewal is shown", shows(move()))
}

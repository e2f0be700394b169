//go:build unix

package tcp

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A FIFO in the place of a file of TLS is said to be none, and holds up nobody.
func TestNoCertificateIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cert.pem")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	done := make(chan error, 1)
	go func() {
		_, err := NewCertificates(path, path, path, slog.New(slog.NewTextHandler(&said, nil))).Config().GetConfigForClient(nil)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "is no regular file") || !strings.Contains(said.String(), "is no regular file") {
			t.Errorf("%v; logged %s", err, said.String())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
	}
}

package tcp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

// Certificates are the files of TLS. They are read again when they have
// changed; while the new ones cannot be used, the old ones are.
type Certificates struct {
	certificate, key, clientCA string // paths; clientCA may be empty
	log                        *slog.Logger

	mu     sync.Mutex // guards what follows
	looked time.Time
	seen   [3]os.FileInfo // of the files when they were last read; nil: there was none
	config *tls.Config    // nil: they never could be used
	err    error          // of the last try
}

// lookEvery is the shortest time between two looks at the files.
const lookEvery = time.Second

// NewCertificates reads the files for the first time. That they cannot be used
// is logged, and said to those who connect.
func NewCertificates(certificate, key, clientCA string, log *slog.Logger) *Certificates {
	c := &Certificates{certificate: certificate, key: key, clientCA: clientCA, log: log}
	_, _ = c.current(nil)
	return c
}

// Config is for a listener: TLS 1.3 and HTTP/1.1 alone.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: c.current}
}

// Names says whether the certificate in use is valid for a host.
func (c *Certificates) Names(host string) bool {
	config, err := c.current(nil)
	return err == nil && config.Certificates[0].Leaf.VerifyHostname(host) == nil
}

func (c *Certificates) current(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if c.changed() {
			c.read()
		}
	}
	if c.config == nil {
		return nil, c.err
	}
	return c.config, nil
}

// changed says whether a file is another than at the last look.
func (c *Certificates) changed() bool {
	changed := c.config == nil && c.err == nil // the first look
	for i, path := range []string{c.certificate, c.key, c.clientCA} {
		before := c.seen[i]
		now, err := os.Stat(path)
		if err != nil {
			now = nil
		}
		c.seen[i] = now
		switch {
		case before == nil || now == nil:
			changed = changed || before != now
		case !os.SameFile(before, now) || !before.ModTime().Equal(now.ModTime()) || before.Size() != now.Size():
			changed = true
		}
	}
	return changed
}

func (c *Certificates) read() {
	config, err := c.load()
	c.err = err
	switch {
	case err == nil:
		c.config = config
		c.log.Info("the certificate is read", "file", c.certificate, "until", config.Certificates[0].Leaf.NotAfter.Format(time.RFC3339))
	case c.config != nil:
		c.log.Error("cannot use the new certificate; the old one stays in use", "error", err)
	default:
		c.log.Error("cannot use the certificate; TLS is refused until it can be used", "error", err)
	}
}

func (c *Certificates) load() (*tls.Config, error) {
	certificate, err := readRegular(c.certificate)
	if err != nil {
		return nil, fmt.Errorf("cannot read [tls] certificate: %w", err)
	}
	key, err := readRegular(c.key)
	if err != nil {
		return nil, fmt.Errorf("cannot read [tls] key: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("cannot read [tls] certificate and key: %w", err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"},
		SessionTicketsDisabled: true, // each connection shows its certificate
	}
	if c.clientCA == "" {
		return config, nil
	}
	text, err := readRegular(c.clientCA)
	if err != nil {
		return nil, fmt.Errorf("cannot read [tls] client_ca: %w", err)
	}
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, errors.New("cannot read [tls] client_ca: there is no certificate in " + c.clientCA)
	}
	return config, nil
}

// readRegular reads a file that may be another user's, who could have put a FIFO
// in its place: that is not waited for.
func readRegular(path string) ([]byte, error) {
	const most = 1 << 20
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New(path+" is no regular file"))
	}
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return text, err
}

//go:build linux

package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// authority signs certificates for a test.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.key, a.cert = a.make(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	a.pool.AddCert(a.cert)
	return a
}

// make makes a key and its certificate, signed by a, or by itself.
func (a *authority) make(template *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template.Subject = pkix.Name{CommonName: "test"}
	parent := a.cert
	if by == nil {
		by, parent = key, template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, cert
}

// issue gives a certificate and its key as PEM.
func (a *authority) issue(names []string, use x509.ExtKeyUsage) (cert, key []byte, serial string) {
	a.t.Helper()
	private, leaf := a.make(&x509.Certificate{
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), leaf.SerialNumber.String()
}

// serve puts a certificate where a deputy reads it, whole or not at all.
func (a *authority) serve(d *rig.Deputy, names ...string) (serial string) {
	a.t.Helper()
	cert, key, serial := a.issue(names, x509.ExtKeyUsageServerAuth)
	// The key first: a certificate without its key is not used, and looked at again.
	for _, file := range []struct {
		name string
		text []byte
	}{{"key.pem", key}, {"cert.pem", cert}} {
		path := filepath.Join(d.Config, "tls", file.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			a.t.Fatal(err)
		}
		if err := os.WriteFile(path+".new", file.text, 0o600); err != nil {
			a.t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			a.t.Fatal(err)
		}
	}
	return serial
}

// beginTLS starts a deputy that listens with TLS; tls is what more stands in
// that table.
func beginTLS(t *testing.T, ca *authority, more string) (*rig.Deputy, string, addresses) {
	t.Helper()
	secure := freeAddress(t)
	a := addresses{freeAddress(t), freeAddress(t)}
	config := strings.NewReplacer("ADDRESS", a.http, "LINE", a.line).Replace(network)
	config = strings.Replace(config, "[server]", "https = [\""+secure+"\"]\n[tls]\ncertificate = \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n"+more+"\n[server]", 1)
	d := prepare(t, signedModule, rig.Files{"deputy.toml": config})
	writeKeys(t, d, secrets)
	ca.serve(d, "deputy.example", "localhost")
	if more != "" {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
		if err := os.WriteFile(filepath.Join(d.Config, "tls", "clients.pem"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.Start()
	rig.Eventually(t, 10*time.Second, "it listens with TLS", func() bool { return listens(secure) })
	return d, secure, a
}

// over asks with TLS, as panel; each request on a connection of its own.
func over(t *testing.T, address string, config *tls.Config) *signer {
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	return &signer{t, "https://" + address, "panel", secrets["panel"], &http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	d, secure, _ := beginTLS(t, ca, "")
	panel := over(t, secure, &tls.Config{RootCAs: ca.pool})
	if task := panel.started("m/say?wait=30", ""); task.State != deputy.Succeeded || task.Caller != "key:panel" {
		t.Errorf("the task is %+v", task)
	}
	r := panel.request("GET", "/v1/tasks", "")
	r.Host = "deputy.example" // as the certificate says
	if answer := panel.send(r); answer.Status != 200 {
		t.Errorf("for the certificate's name: %d %s", answer.Status, answer.Body)
	}
	r = panel.request("GET", "/v1/tasks", "")
	r.Host = "other.example"
	panel.send(r).Refused(t, 421, deputy.BadRequest)
	r = panel.request("GET", "/v1/tasks", "", "Origin", "http://"+secure) // the page came without TLS
	panel.send(r).Refused(t, 403, deputy.NotAllowed)

	for name, config := range map[string]*tls.Config{
		"TLS 1.2":             {RootCAs: ca.pool, MaxVersion: tls.VersionTLS12},
		"only HTTP/2":         {RootCAs: ca.pool, NextProtos: []string{"h2"}},
		"another's authority": {RootCAs: newAuthority(t).pool},
	} {
		if conn, err := tls.Dial("tcp", secure, config); err == nil {
			conn.Close()
			t.Errorf("%s: a connection is made", name)
		}
	}
	plain := exchange(t, secure, "GET / HTTP/1.1\r\nHost: "+secure+"\r\n\r\n")
	if strings.Contains(plain, "200 OK") {
		t.Errorf("plain HTTP is answered: %q", plain)
	}

	// A new certificate is taken up without a restart, and a broken one is not.
	server := d.Part("deputy-server")
	serial := ca.serve(d, "deputy.example", "localhost")
	shown := func() string {
		conn, err := tls.Dial("tcp", secure, &tls.Config{RootCAs: ca.pool})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	rig.Eventually(t, 10*time.Second, "the new certificate is shown", func() bool { return shown() == serial })
	if err := os.WriteFile(filepath.Join(d.Config, "tls", "cert.pem"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, 10*time.Second, "it says what is wrong", func() bool {
		return shown() == serial && strings.Contains(d.Log(), "cannot use the new certificate")
	})
	next := ca.serve(d, "deputy.example", "localhost")
	rig.Eventually(t, 10*time.Second, "the next certificate is shown", func() bool { return shown() == next })
	if now := d.Part("deputy-server"); now != server {
		t.Errorf("the server was restarted: %d, then %d", server, now)
	}
}

func TestClientCertificates(t *testing.T) {
	ca := newAuthority(t)
	_, secure, _ := beginTLS(t, ca, `client_ca = "tls/clients.pem"`)
	pair := func(by *authority, use x509.ExtKeyUsage) []tls.Certificate {
		cert, key, _ := by.issue(nil, use)
		p, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{p}
	}
	good := over(t, secure, &tls.Config{RootCAs: ca.pool, Certificates: pair(ca, x509.ExtKeyUsageClientAuth)})
	if answer := good.do("GET", "/v1/tasks", ""); answer.Status != 200 {
		t.Errorf("with a certificate: %d %s", answer.Status, answer.Body)
	}
	r := good.request("GET", "/v1/tasks", "")
	r.Header.Del("Authorization")
	good.send(r).Refused(t, 401, deputy.NotAuthenticated) // a certificate is no caller
	for name, certificates := range map[string][]tls.Certificate{
		"none": nil, "another's": pair(newAuthority(t), x509.ExtKeyUsageClientAuth), "one for servers": pair(ca, x509.ExtKeyUsageServerAuth),
	} {
		s := over(t, secure, &tls.Config{RootCAs: ca.pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if certificates == nil {
				return &tls.Certificate{}, nil
			}
			return &certificates[0], nil
		}})
		if resp, err := s.client.Do(s.request("GET", "/v1/tasks", "")); err == nil {
			resp.Body.Close()
			t.Errorf("with %s: %s", name, resp.Status)
		}
	}
}

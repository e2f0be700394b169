//go:build linux

package clients

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"deputy/test/rig"
)

// The deputy that is asked. The secret is longer than a block of SHA-256, with
// all that a shell could trip over; the second is the one that it replaces.
const (
	secret   = `a secret of "more" than 64 bytes, 'quoted', $HOME %s \n \\ * ~ and with a space at its end `
	audience = "gate1"
)

const module = `
[allow]
users = ["uid:UID"]
keys = ["panel"]

[action.echo]
command = ["/usr/bin/printf", "%s", "{text}"]
params.text = { type = "string", multiline = true, maxLength = 10000 }

[action.dash]
command = ["/usr/bin/printf", "%s", "{text}"]
params.text = { type = "string", allow_dash = true }

[action.typed]
command = ["/bin/sh", "-c", "printf '%s %s %s %s ' \"$1\" \"$2\" \"$3\" \"$4\"; shift 4; IFS=,; printf %s \"$*\"", "sh", "{n}", "{yes}", "{x}", "{text}", "{list...}"]
params.n = { type = "integer" }
params.yes = { type = "boolean" }
params.x = { type = "number" }
params.text = { type = "string" }
params.list = { type = "array", items = { type = "string" } }

[action.fail]
command = ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"]

[action.killed]
command = ["/bin/sh", "-c", "kill -9 $$"]

[action.signal]
command = ["/bin/sh", "-c", 'kill "-$N" $$; sleep 100']
env.N = "{n}"
params.n = { type = "integer" }

[action.large]
command = ["/bin/cat"]
stdin = "{text}"
max_body = "1MiB"
params.text = { type = "string", multiline = true, maxLength = 1000000 }

[action.long]
command = ["/bin/echo", "{text}"]
max_body = "1MiB"
params.text = { type = "string", maxLength = 1000000 }

[action.big]
command = ["CAST", "write", "{bytes}"]
params.bytes = { type = "integer" }

[action.binary]
command = ["/usr/bin/printf", '\377\000\376\n\r\n']

[action.json]
command = ["/bin/cat"]
stdin = "{params}"
params.s = { type = "string", maxLength = 10000, optional = true }
params.i = { type = "integer", optional = true }
params.n = { type = "number", optional = true }
params.b = { type = "boolean", optional = true }
params.list = { type = "array", items = { type = "integer" }, optional = true }
params.texts = { type = "array", items = { type = "string" }, optional = true }
params.objects = { type = "array", items = { type = "object", properties = { name = { type = "string" }, size = { type = "integer" } } }, optional = true }

[action.each]
for_each = "item in items"
command = ["/bin/true"]
env.ITEM = "{item}"
params.items = { type = "array", items = { type = "string" } }

[action.who]
command = ["/bin/sh", "-c", 'printf %s "$DEPUTY_END_USER"']

[action.denied]
command = ["/bin/true"]
[[action.denied.allow]]
users = ["uid:4242"]

[action.hold]
lock = "{lock}"
on_busy = "reject"
command = ["/bin/sh", "-c", "echo ready; exec sleep 1000"]
env.LOCK = "{lock}"
params.lock = { type = "string" }

[action.cut]
command = ["/bin/sh", "-c", "echo first; trap 'echo a new text, longer than that >/dev/stdout; exit 0' TERM; sleep 1000 & wait"]

[action.halt]
stops = "hold"
lock = "{lock}"
params.lock = { type = "string" }
`

const config = `
[defaults]
per_caller = { live = 1000, rate = "10000/s", connections = 1000 }
[server]
name = "gate1"
[key.panel]
names_end_user = true
[user."uid:UID"]
names_end_user = true
[listen]
http = ["HTTP"]
https = ["HTTPS"]
line = ["LINE", "WORK/line.sock"]
[tls]
certificate = "tls/cert.pem"
key = "tls/key.pem"
`

// target is a running deputy and where its doors are.
type target struct {
	*rig.Deputy
	http, https, line string // host:port
	authority         string // a file: the certificate that signed the server's
}

// way is a way to ask it.
type way struct {
	name string
	env  map[string]string // T_NAME of a driver
	line bool              // by 'Key: Value' messages
	tls  bool
}

func (d target) ways() []way {
	signed := func(address string) map[string]string {
		return map[string]string{"ADDRESS": address, "KEY": "panel", "SECRET": secret, "AUDIENCE": audience}
	}
	return []way{
		{name: "unix", env: map[string]string{"ADDRESS": d.Socket}},
		{name: "http", env: signed("http://" + d.http)},
		{name: "https", env: signed("https://" + d.https), tls: true},
		{name: "line", env: signed("line://" + d.line), line: true},
		{name: "line-unix", env: map[string]string{"ADDRESS": "line:" + d.Work + "/line.sock"}, line: true},
	}
}

func start(t *testing.T) target {
	t.Helper()
	d := target{Deputy: rig.New(t, nil)}
	ports := free(t, 3)
	d.http, d.https, d.line = ports[0], ports[1], ports[2]
	stand := strings.NewReplacer("UID", strconv.Itoa(os.Geteuid()), "CAST", filepath.Join(rig.Programs(t), "cast"),
		"WORK", d.Work, "HTTPS", d.https, "HTTP", d.http, "LINE", d.line)
	d.Write(rig.Files{"deputy.toml": stand.Replace(config), "modules.d/m.toml": stand.Replace(module), "keys/panel": secret + "\nthe one before\n"})
	if err := os.Chmod(filepath.Join(d.Config, "keys/panel"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.authority = filepath.Join(d.Config, "tls/cert.pem")
	certificate(t, d.authority, filepath.Join(d.Config, "tls/key.pem"))
	for _, name := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
		t.Setenv(name, d.authority)
	}
	d.Start()
	return d
}

// free gives addresses that nobody listens on.
func free(t *testing.T, n int) []string {
	t.Helper()
	addresses := make([]string, n)
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses[i] = l.Addr().String()
	}
	return addresses
}

// certificate writes a certificate of 127.0.0.1, which is its own authority, and its key.
func certificate(t *testing.T, certificate, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, err1 := x509.CreateCertificate(rand.Reader, about, about, &secret.PublicKey, secret)
	private, err2 := x509.MarshalPKCS8PrivateKey(secret)
	err = errors.Join(err1, err2, os.MkdirAll(filepath.Dir(certificate), 0o755),
		os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o644),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

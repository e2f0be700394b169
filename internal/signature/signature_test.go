package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

func request() Request {
	return Request{Method: "POST", Audience: "gate1", Target: "/v1/actions/service/restart?wait=5",
		IdempotencyKey: "k1", EndUser: "alice", Body: []byte(`{"unit":"nginx.service"}`)}
}

// The signed text, written out by hand: clients in other languages are written
// after this test.
func TestSignedText(t *testing.T) {
	a := Authorization{ID: "panel", Time: 1790000000, Nonce: strings.Repeat("0a", 16)}
	text := "DEPUTY1\npanel\n1790000000\n0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\nPOST\ngate1\n/v1/actions/service/restart?wait=5\nk1\nalice\n" +
		"8800b5d13f899797ce0d95d81aa77e04ba63c633151822427676895e0fa60066\n"
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text))
	a.Sig = hex.EncodeToString(h.Sum(nil))
	if !a.Verify(secret, request()) {
		t.Error("the text of DESIGN is not what is signed")
	}
	if got := string(a.text(request())); got != text {
		t.Errorf("signed:\n%s\nwant:\n%s", got, text)
	}
}

func TestSignParseVerify(t *testing.T) {
	signed := Sign("panel", secret, 1790000000, request())
	a, err := Parse(signed.String())
	if err != nil || a != signed {
		t.Fatalf("%v: %+v, want %+v", err, a, signed)
	}
	if !a.Verify(secret, request()) {
		t.Error("what was signed is not verified")
	}
	if again := Sign("panel", secret, 1790000000, request()); again.Nonce == signed.Nonce {
		t.Error("two signatures with one nonce")
	}
}

// Whatever is changed, the signature is no longer good.
func TestEveryFieldIsCovered(t *testing.T) {
	good := Sign("panel", secret, 1790000000, request())
	for name, change := range map[string]func(*Authorization, *Request){
		"id":              func(a *Authorization, _ *Request) { a.ID = "panel2" },
		"time":            func(a *Authorization, _ *Request) { a.Time++ },
		"nonce":           func(a *Authorization, _ *Request) { a.Nonce = strings.Repeat("0", 32) },
		"signature":       func(a *Authorization, _ *Request) { a.Sig = strings.Repeat("0", 64) },
		"cut signature":   func(a *Authorization, _ *Request) { a.Sig = a.Sig[:62] },
		"method":          func(_ *Authorization, r *Request) { r.Method = "GET" },
		"audience":        func(_ *Authorization, r *Request) { r.Audience = "gate2" },
		"target":          func(_ *Authorization, r *Request) { r.Target += "0" },
		"idempotency key": func(_ *Authorization, r *Request) { r.IdempotencyKey = "" },
		"end user":        func(_ *Authorization, r *Request) { r.EndUser = "root" },
		"body":            func(_ *Authorization, r *Request) { r.Body = append(r.Body, ' ') },
		"moved boundary":  func(_ *Authorization, r *Request) { r.IdempotencyKey, r.EndUser = "k1\nalice", "" },
	} {
		a, r := good, request()
		change(&a, &r)
		if a.Verify(secret, r) {
			t.Errorf("%s: a changed request is verified", name)
		}
	}
	if good.Verify([]byte("another secret"), request()) {
		t.Error("another secret verifies")
	}
}

func TestParseRefuses(t *testing.T) {
	good := Sign("panel", secret, 1790000000, request()).String()
	for name, value := range map[string]string{
		"empty":            "",
		"another scheme":   strings.Replace(good, "Deputy1", "Bearer", 1),
		"scheme in lower":  strings.ToLower(good),
		"space":            strings.Replace(good, ",ts", ", ts", 1),
		"another order":    "Deputy1 ts=1,id=panel,nonce=" + strings.Repeat("0", 32) + ",sig=" + strings.Repeat("0", 64),
		"a member more":    good + ",x=1",
		"a member twice":   strings.Replace(good, "id=panel", "id=panel,id=panel", 1),
		"no id":            strings.Replace(good, "id=panel", "id=", 1),
		"id with a slash":  strings.Replace(good, "id=panel", "id=../../etc/passwd", 1),
		"id with dots":     strings.Replace(good, "id=panel", "id=..", 1),
		"time with a sign": strings.Replace(good, "ts=", "ts=+", 1),
		"negative time":    strings.Replace(good, "ts=", "ts=-", 1),
		"time with zeros":  strings.Replace(good, "ts=", "ts=0", 1),
		"time too large":   strings.Replace(good, "ts=", "ts=99999999999999999999", 1),
		"short nonce":      strings.Replace(good, "nonce=", "nonce=0", 1),
		"upper case sig":   good[:len(good)-1] + "A",
		"line feed":        good + "\n",
	} {
		if a, err := Parse(value); err == nil {
			t.Errorf("%s: %q was read as %+v", name, value, a)
		}
	}
}

// What the original client sends for SCAN_MODULE with the secret "key", as
// Python's hmac.new(b"key", b"SCAN_MODULE", "md5").hexdigest() gives it.
func TestLegacy(t *testing.T) {
	const want = "6bc0a23127ae7335edf79056d9f717a1"
	got := Legacy([]byte("key"), "SCAN_MODULE")
	if got != want || !VerifyLegacy([]byte("key"), "SCAN_MODULE", got) || !VerifyLegacy([]byte("key"), "SCAN_MODULE", strings.ToUpper(got)) {
		t.Errorf("%s is not verified", got)
	}
	for _, wrong := range []string{"", "zz", got[:30], got + "00"} {
		if VerifyLegacy([]byte("key"), "SCAN_MODULE", wrong) {
			t.Errorf("%q is verified", wrong)
		}
	}
	if VerifyLegacy([]byte("key"), "OTHER", got) || VerifyLegacy([]byte("other"), "SCAN_MODULE", got) {
		t.Error("a signature is good for another module or secret")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Sign("panel", secret, 1790000000, request()).String())
	f.Add("Deputy1 id=,ts=,nonce=,sig=")
	f.Fuzz(func(t *testing.T, value string) {
		if a, err := Parse(value); err == nil && a.String() != value {
			t.Errorf("%q has a second form, %q", value, a)
		}
	})
}

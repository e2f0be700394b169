// Package signature is how a request proves which key it comes from: Deputy1,
// one form for every transport, and the original's replayable scheme. Clients
// sign with it, the monitor verifies. It knows no transport, no clock and no
// memory of what was used before.
//
// Deputy1 is hex(hmac-sha256(secret, S)). S is ten lines, each ended by LF,
// empty where there is none:
//
//	DEPUTY1
//	key id
//	Unix seconds
//	nonce: 32 hex digits
//	method: as in HTTP; TCP for a 'Key: Value' message
//	audience: the server's name
//	request target as sent; / for a 'Key: Value' message
//	Idempotency-Key
//	end user
//	hex(sha256(body))
package signature

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // the original's scheme, off unless asked for
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Scheme is the word that an Authorization of this form begins with.
const Scheme = "Deputy1"

// Window is how far a signature's time may be from the verifier's, in seconds.
const Window = 60

// Request is everything that a signature covers but the key's name, the time
// and the nonce.
type Request struct {
	Method, Audience, Target string
	IdempotencyKey, EndUser  string
	Body                     []byte
}

// Authorization is the value of the header of that name:
//
//	Deputy1 id=NAME,ts=SECONDS,nonce=32HEX,sig=64HEX
type Authorization struct {
	ID    string
	Time  int64 // Unix seconds
	Nonce string
	Sig   string
}

// String gives the header's value.
func (a Authorization) String() string {
	return fmt.Sprintf("%s id=%s,ts=%d,nonce=%s,sig=%s", Scheme, a.ID, a.Time, a.Nonce, a.Sig)
}

// text is S. No field can hold a line feed: NewAuthorization and Parse see to
// id, time and nonce, and the other fields stand on one line wherever they come from.
func (a Authorization) text(r Request) []byte {
	sum := sha256.Sum256(r.Body)
	return []byte(strings.Join([]string{
		"DEPUTY1", a.ID, strconv.FormatInt(a.Time, 10), a.Nonce, r.Method, r.Audience, r.Target,
		r.IdempotencyKey, r.EndUser, hex.EncodeToString(sum[:]), "",
	}, "\n"))
}

// Sign makes the authorization of a request with a fresh nonce.
func Sign(id string, secret []byte, unixSeconds int64, r Request) Authorization {
	var nonce [16]byte
	rand.Read(nonce[:])
	a := Authorization{ID: id, Time: unixSeconds, Nonce: hex.EncodeToString(nonce[:])}
	a.Sig = hex.EncodeToString(a.mac(secret, r))
	return a
}

func (a Authorization) mac(secret []byte, r Request) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(a.text(r))
	return h.Sum(nil)
}

// Verify says whether the signature was made with the secret, over exactly
// this request. It takes the same time for every wrong one. Whether the time
// and the nonce are good is the caller's to decide.
func (a Authorization) Verify(secret []byte, r Request) bool {
	for _, line := range []string{r.Method, r.Audience, r.Target, r.IdempotencyKey, r.EndUser} {
		if strings.ContainsAny(line, "\n\r") {
			return false // it could be read as two fields
		}
	}
	given, err := hex.DecodeString(a.Sig)
	return err == nil && hmac.Equal(given, a.mac(secret, r))
}

// Parse reads the value of an Authorization header, which has one form alone:
// the four members in their order, without spaces, hex in lower case.
func Parse(value string) (Authorization, error) {
	rest, ok := strings.CutPrefix(value, Scheme+" ")
	if !ok {
		return Authorization{}, errors.New("cannot read the signature: it does not begin with " + Scheme)
	}
	var a Authorization
	fields := strings.Split(rest, ",")
	if len(fields) != 4 {
		return a, errors.New("cannot read the signature: it must be Deputy1 id=…,ts=…,nonce=…,sig=…")
	}
	var values [4]string
	for i, name := range []string{"id=", "ts=", "nonce=", "sig="} {
		if values[i], ok = strings.CutPrefix(fields[i], name); !ok {
			return a, fmt.Errorf("cannot read the signature: %q stands where %s… must", fields[i], name)
		}
	}
	a.ID, a.Nonce, a.Sig = values[0], values[2], values[3]
	time, err := strconv.ParseInt(values[1], 10, 64)
	switch {
	case !ValidID(a.ID):
		return a, fmt.Errorf("cannot read the signature: %.40q is not a key's name", a.ID)
	case err != nil || strconv.FormatInt(time, 10) != values[1] || time < 0:
		return a, fmt.Errorf("cannot read the signature: %.40q is not a time in Unix seconds", values[1])
	case !isHex(a.Nonce, 32):
		return a, errors.New("cannot read the signature: the nonce must be 32 hex digits in lower case")
	case !isHex(a.Sig, 64):
		return a, errors.New("cannot read the signature: sig must be 64 hex digits in lower case")
	}
	a.Time = time
	return a, nil
}

// ValidID says whether a key may have this name: it is a file's name, too.
func ValidID(id string) bool {
	if id == "" || len(id) > 64 || id[0] == '.' || id[0] == '-' {
		return false
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-", c) >= 0) {
			return false
		}
	}
	return true
}

func isHex(s string, digits int) bool {
	if len(s) != digits {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// Legacy is the original's signature of a module's name: hex(hmac-md5(secret,
// module)). Whoever sees it can use it again for anything in that module.
func Legacy(secret []byte, module string) string {
	h := hmac.New(md5.New, secret)
	h.Write([]byte(module))
	return hex.EncodeToString(h.Sum(nil))
}

// VerifyLegacy compares in constant time; hex in either case.
func VerifyLegacy(secret []byte, module, sig string) bool {
	given, err := hex.DecodeString(sig)
	want, _ := hex.DecodeString(Legacy(secret, module))
	return err == nil && hmac.Equal(given, want)
}

package signers

import (
	"deputy"
	"deputy/internal/keyvalue"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// The signature is verified over the bytes as they came. Until that is done nothing is
// parsed but the Authorization itself; the original's scheme has two lines looked for.
// Which of name, secret and signature was wrong is told to nobody.

// evidence is what a signature shows by itself.
type evidence struct {
	by     *trust
	caller deputy.Caller
	secret string // its name; empty: of the original's scheme
	signed signature.Authorization
	err    error // why it shows nothing
}

// verify finds the key that signed a request. Which of name, secret and signature
// was wrong is not told.
func (by *trust) verify(r *wall.Request) evidence {
	if r.Transport == wall.Legacy {
		return by.verifyLegacy(r)
	}
	a, err := signature.Parse(r.Authorization)
	if err != nil {
		return evidence{by: by, err: deputy.Refuse(deputy.NotAuthenticated, "%v", err)}
	}
	name := by.set.Config.Server.Name
	covered := signature.Request{Method: r.Method, Audience: name, Target: r.Target, IdempotencyKey: r.Key, EndUser: r.EndUser, Body: r.Body}
	if r.Transport == wall.Line {
		covered = signature.Request{Method: "TCP", Audience: name, Target: "/", Body: r.Body}
	}
	found := by.matching(a, covered)
	if found == "" {
		return evidence{by: by, err: deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: there is no key of this name, or the signature is not that of this request for the server %q", name)}
	}
	return evidence{by: by, caller: deputy.Caller("key:" + a.ID), secret: found, signed: a}
}

// matching gives the name of the secret that made a signature, or "". An
// unknown key costs the same as a wrong secret.
func (by *trust) matching(a signature.Authorization, covered signature.Request) string {
	secrets := by.keys[a.ID]
	if len(secrets) == 0 {
		a.Verify([]byte("no such key"), covered)
		return ""
	}
	found := ""
	for _, s := range secrets {
		if a.Verify(s.text, covered) {
			found = s.name
		}
	}
	return found
}

// verifyLegacy finds the key of the original's scheme, which covers the module
// alone. Before that is done the message is searched for module and signature, and
// no more of it is read.
func (by *trust) verifyLegacy(r *wall.Request) evidence {
	name := by.legacyKey(keyvalue.Scan(r.Body))
	if name == "" {
		return evidence{by: by, err: deputy.Refuse(deputy.NotAuthenticated,
			"cannot authenticate: no key with legacy = true has made this signature of the module's name; better, sign with Deputy1")}
	}
	return evidence{by: by, caller: deputy.Caller("key:" + name)}
}

// legacyKey gives the name of the key that signed a module's name, or "".
func (by *trust) legacyKey(module, sig string) string {
	if module == "" {
		return ""
	}
	for name, secrets := range by.keys {
		if !by.set.Config.Keys[name].Legacy {
			continue
		}
		for _, s := range secrets {
			if signature.VerifyLegacy(s.text, module, sig) {
				return name
			}
		}
	}
	return ""
}

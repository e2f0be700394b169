package main

import (
	"os/user"
	"strconv"
	"strings"

	"deputy"
	"deputy/internal/monitor/userdb"
)

// caller is who asks.
func (a *app) caller() deputy.Caller {
	if a.sid != "" {
		return deputy.SIDCaller(a.sid)
	}
	return deputy.UIDCaller(uint32(a.uid))
}

// caller reads whom a person names: "uid:33", "key:panel", a number, or the
// name of a user of this machine. "" is nobody in particular.
func caller(text string) (deputy.Caller, error) {
	if text == "" || strings.Contains(text, ":") {
		return deputy.Caller(text), nil
	}
	if uid, err := strconv.ParseUint(text, 10, 32); err == nil {
		return deputy.UIDCaller(uint32(uid)), nil
	}
	u, err := user.Lookup(text)
	if err != nil {
		if u, _, _ := userdb.Open(userdb.Options{Ask: userdb.Here()}).Find(text); u != nil {
			return deputy.UIDCaller(u.UID), nil
		}
		return "", usage("there is no user %q; write a user's name, uid:N or key:NAME", text)
	}
	return deputy.Caller("uid:" + u.Uid), nil
}

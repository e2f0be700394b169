package process

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The accounts that Windows has for services without privileges. They have no
// password, and the system itself may log them on.
const (
	LocalService   = "S-1-5-19"
	NetworkService = "S-1-5-20"
)

// Credential is whom an attempt runs as.
type Credential struct{ SID string } // LocalService or NetworkService

// LogOn gives a token of LocalService or NetworkService; only the system itself
// is given one (LogonUser, Microsoft Learn).
func LogOn(sid string) (windows.Token, error) {
	name := map[string]string{LocalService: "LocalService", NetworkService: "NetworkService"}[sid]
	texts, err := encode(name, "NT AUTHORITY")
	if err != nil {
		return 0, err
	}
	const service, anyProvider = 5, 0 // LOGON32_LOGON_SERVICE, LOGON32_PROVIDER_DEFAULT
	var token windows.Token
	ok, _, err := windows.NewLazySystemDLL("advapi32.dll").NewProc("LogonUserW").Call(uintptr(unsafe.Pointer(texts[0])),
		uintptr(unsafe.Pointer(texts[1])), 0, service, anyProvider, uintptr(unsafe.Pointer(&token)))
	if ok == 0 {
		return 0, fmt.Errorf("cannot log %s on: %w", name, err)
	}
	user, err := token.GetTokenUser()
	if err == nil && user.User.Sid.String() != sid {
		err = errors.New("the token is another's")
	}
	if err != nil {
		token.Close()
		return 0, fmt.Errorf("cannot log %s on: %w", name, err)
	}
	return token, nil
}

// WaitStatus is how a process ended.
type WaitStatus = syscall.WaitStatus

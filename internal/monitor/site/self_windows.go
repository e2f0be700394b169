package site

import "golang.org/x/sys/windows"

// SystemSID is the account of the system itself.
const SystemSID = "S-1-5-18"

// Root says whether deputyd may become any user: nobody may here.
func Root() bool { return false }

// SelfSID is whom deputyd runs as.
func SelfSID() string {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return ""
	}
	return u.User.Sid.String()
}

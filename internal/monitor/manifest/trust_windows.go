package manifest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"

	"deputy/internal/monitor/look"
)

// What somebody could do to a file, or to a folder above it, to decide what
// runs. Who may only add names to a folder cannot replace one that is there;
// in the folder of a program it could add a DLL that the program loads.
const (
	takeRights   = windows.DELETE | windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_ALL | windows.GENERIC_WRITE
	fileRights   = takeRights | windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA
	folderRights = takeRights | fileDeleteChild
	parentRights = folderRights | windows.FILE_WRITE_DATA // which is FILE_ADD_FILE of a folder

	readRights = windows.FILE_READ_DATA | windows.GENERIC_READ

	fileDeleteChild = 0x40
)

// judge says who else could change what a path leads to, and what lies in it.
// Links are refused: what they lead to is to be named itself.
func (t Trust) judge(path string, s *look.Sight) error {
	err := t.walk(path, s.At != "")
	for i := range s.Beneath {
		if err == nil {
			err = t.walk(s.Beneath[i].Path, false)
		}
	}
	return err
}

// unseen says why the end of a path was not reached.
func (t Trust) unseen(s *look.Sight) error {
	switch {
	case s.At == "":
		return nil
	case t.Alike:
		return advise("see what stands there", "%s is not there, or may not be looked at", s.At)
	}
	return advise("create it or correct the path", "cannot look at %s: %v", s.At, s.Errno)
}

// walk looks at a path from its drive on; of one that is not there at what is.
func (t Trust) walk(path string, absent bool) error {
	path = filepath.Clean(path)
	volume := filepath.VolumeName(path)
	if !filepath.IsAbs(path) || len(volume) != 2 {
		return advise(`write the path from the drive on: C:\…`, "it is not an absolute path of this machine")
	}
	at := volume + `\`
	names := strings.Split(strings.Trim(path[len(volume):], `\`), `\`)
	for i := -1; i < len(names); i++ {
		if i >= 0 {
			at = filepath.Join(at, names[i])
		}
		rights := uint32(folderRights)
		switch i {
		case len(names) - 1:
			rights = fileRights
		case len(names) - 2:
			rights = parentRights
		}
		if _, err := os.Lstat(at); absent && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err := t.object(at, rights); err != nil {
			return err
		}
	}
	return nil
}

// object says why one file or folder cannot be trusted.
func (t Trust) object(path string, rights uint32) error {
	info, err := os.Lstat(path)
	if err != nil {
		return advise("create it or correct the path", "cannot look at %s: %v", path, err)
	}
	if info.Mode()&(os.ModeSymlink|os.ModeIrregular) != 0 {
		return advise("write the path that it leads to", "%s is a link", path)
	}
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return advise("run this as an administrator", "cannot read who may change %s: %v", path, err)
	}
	owner, _, err := sd.Owner()
	if err != nil || owner == nil || !trusted(owner) {
		return advise("icacls "+path+" /setowner *"+administratorsSID, "%s belongs to %s", path, accountName(owner))
	}
	list, _, err := sd.DACL()
	if err != nil || list == nil { // no list at all: everyone may do everything
		return advise("icacls "+path+" /inheritance:r /grant *"+administratorsSID+":F", "%s is writable by everyone", path)
	}
	for i := range uint32(list.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &ace); err != nil {
			return advise("see what `icacls "+path+"` says", "cannot read who may change %s: %v", path, err)
		}
		allows := ace.Header.AceType == windows.ACCESS_ALLOWED_ACE_TYPE
		if !allows || ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 || uint32(ace.Mask)&rights == 0 {
			continue
		}
		if who := (*windows.SID)(unsafe.Pointer(&ace.SidStart)); !trusted(who) {
			return advise("icacls "+path+" /remove *"+who.String(), "%s can be changed by %s", path, accountName(who))
		}
	}
	return nil
}

// trusted says whether an account may decide what runs: the system,
// administrators, the installer of Windows, and whoever deputyd runs as.
func trusted(sid *windows.SID) bool {
	if slices.Contains([]string{systemSID, administratorsSID, trustedInstallerSID}, sid.String()) {
		return true
	}
	self, err := windows.GetCurrentProcessToken().GetTokenUser()
	return err == nil && self.User.Sid.Equals(sid)
}

func accountName(sid *windows.SID) string {
	if sid == nil {
		return "nobody"
	}
	name, domain, _, err := sid.LookupAccount("")
	if err != nil {
		return sid.String()
	}
	return strings.TrimPrefix(domain+`\`+name, `\`)
}

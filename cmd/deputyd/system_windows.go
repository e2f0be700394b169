package main

import "golang.org/x/sys/windows"

// exe ends the name of a program's file.
const exe = ".exe"

const privilegedUser = "the system or an administrator"

// privileged says whether this process has the rights of an administrator.
func privileged() bool {
	administrators, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		return false
	}
	member, err := windows.Token(0).IsMember(administrators) // one whose rights are not in force is none
	return err == nil && member
}

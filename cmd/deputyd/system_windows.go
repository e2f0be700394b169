package main

import "golang.org/x/sys/windows"

// exe ends the name of a program's file.
const exe = ".exe"

const privilegedUser = "the system or an administrator"

// privileged says whether this process has the rights of an administrator.
func privileged() bool { return windows.GetCurrentProcessToken().IsElevated() }

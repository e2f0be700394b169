//go:build unix

package main

import "os"

// exe ends the name of a program's file.
const exe = ""

const privilegedUser = "root"

func privileged() bool { return os.Geteuid() == 0 }

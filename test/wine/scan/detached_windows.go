package main

import "syscall"

const detachedProcess = 0x8 // CreateProcess

var detached = &syscall.SysProcAttr{CreationFlags: detachedProcess | syscall.CREATE_NEW_PROCESS_GROUP}

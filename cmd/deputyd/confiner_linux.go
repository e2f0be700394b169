package main

// confiner is argv of what confines the server.
func confiner() []string { return []string{"/proc/self/exe", "--role", "confine"} }

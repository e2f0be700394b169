//go:build !linux

package manifest

// handsFiles says whether a task can be handed open files as /dev/fd/3, 4 …
// FreeBSD has only 0, 1 and 2 there, Windows nothing.
const handsFiles = false

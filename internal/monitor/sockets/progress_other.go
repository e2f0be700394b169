//go:build !linux

package sockets

// TakesProgress says whether the kernel tells which process sent a datagram: else a
// task has nobody to tell its progress to.
const TakesProgress = false

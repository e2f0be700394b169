//go:build unix && !linux

package space

const trustedAttributes = "system"

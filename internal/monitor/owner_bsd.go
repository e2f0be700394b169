//go:build unix && !linux

package monitor

const trustedAttributes = "system"

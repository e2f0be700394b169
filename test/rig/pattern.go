//go:build linux

package rig

import (
	"bytes"
	"fmt"
)

// Pattern is an endless text of which each byte follows from its offset: lines
// of 16 bytes, each the offset of its first byte in 15 digits. It reads from At on.
type Pattern struct{ At int64 }

func (p *Pattern) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		line := fmt.Appendf(nil, "%015d\n", p.At-p.At%16)
		for room := min(len(b)-n, 16*64); room >= 16 && p.At%16 == 0; room -= 16 {
			copy(b[n:], line)
			n += 16
			p.At += 16
			next(line[:15])
		}
		c := copy(b[n:], line[p.At%16:])
		n += c
		p.At += int64(c)
	}
	return n, nil
}

// next adds 16 to a number in decimal digits.
func next(digits []byte) {
	carry := byte(16)
	for i := len(digits) - 1; carry > 0 && i >= 0; i-- {
		sum := digits[i] - '0' + carry%10
		carry /= 10
		if sum > 9 {
			sum -= 10
			carry++
		}
		digits[i] = '0' + sum
	}
}

// IsPattern says whether b is the part of the pattern that begins at offset.
func IsPattern(b []byte, offset int64) bool {
	p := &Pattern{At: offset}
	want := make([]byte, min(len(b), 64<<10))
	for len(b) > 0 {
		n := min(len(b), len(want))
		p.Read(want[:n])
		if !bytes.Equal(b[:n], want[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

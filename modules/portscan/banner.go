package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const maxBanner = 256 // bytes

// readBanner reads the first line that the other side sends by itself, for at
// most timeout; "" if it sends nothing.
func readBanner(ctx context.Context, conn net.Conn, timeout time.Duration) string {
	conn.SetReadDeadline(time.Now().Add(timeout))
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
	buf := make([]byte, 0, maxBanner)
	for len(buf) < maxBanner && !bytes.ContainsRune(buf, '\n') {
		n, err := conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			break
		}
	}
	line, _, _ := bytes.Cut(buf, []byte("\n"))
	return escape(bytes.TrimRight(line, "\r"))
}

// escape makes text of any bytes: what is printable stands as it is, a
// backslash is doubled, everything else is \xNN.
func escape(raw []byte) string {
	var text strings.Builder
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		switch {
		case r == '\\':
			text.WriteString(`\\`)
		case r == utf8.RuneError && size == 1, !strconv.IsPrint(r):
			for _, c := range raw[:size] {
				fmt.Fprintf(&text, `\x%02x`, c)
			}
		default:
			text.WriteRune(r)
		}
		raw = raw[size:]
	}
	return text.String()
}
